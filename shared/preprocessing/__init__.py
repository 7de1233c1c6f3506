"""What is done to data before training: declared, per record, and learnt from nobody's data."""

FILE = "pipeline.toml"
KEY_FILE = "site.key"
