from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Site(_message.Message):
    __slots__ = ("client_id", "data_dir", "index")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_DIR_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    data_dir: str
    index: int
    def __init__(self, client_id: _Optional[str] = ..., data_dir: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class TrainRequest(_message.Message):
    __slots__ = ("config", "site", "round_number", "attempt", "parameters", "normalisation", "kept")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    ROUND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    NORMALISATION_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    config: str
    site: Site
    round_number: int
    attempt: int
    parameters: bytes
    normalisation: bytes
    kept: bytes
    def __init__(self, config: _Optional[str] = ..., site: _Optional[_Union[Site, _Mapping]] = ..., round_number: _Optional[int] = ..., attempt: _Optional[int] = ..., parameters: _Optional[bytes] = ..., normalisation: _Optional[bytes] = ..., kept: _Optional[bytes] = ...) -> None: ...

class RowsRequest(_message.Message):
    __slots__ = ("config", "site", "kind", "round_number", "attempt", "parameters", "normalisation", "layers")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROUND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    NORMALISATION_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    config: str
    site: Site
    kind: str
    round_number: int
    attempt: int
    parameters: bytes
    normalisation: bytes
    layers: bytes
    def __init__(self, config: _Optional[str] = ..., site: _Optional[_Union[Site, _Mapping]] = ..., kind: _Optional[str] = ..., round_number: _Optional[int] = ..., attempt: _Optional[int] = ..., parameters: _Optional[bytes] = ..., normalisation: _Optional[bytes] = ..., layers: _Optional[bytes] = ...) -> None: ...

class Numbers(_message.Message):
    __slots__ = ("values", "wide", "width")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    WIDE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    values: bytes
    wide: bool
    width: int
    def __init__(self, values: _Optional[bytes] = ..., wide: _Optional[bool] = ..., width: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Alive(_message.Message):
    __slots__ = ("process",)
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    process: int
    def __init__(self, process: _Optional[int] = ...) -> None: ...
