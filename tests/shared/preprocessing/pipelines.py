"""A table of made-up people, and the pipeline that makes it ready."""

from pathlib import Path

from shared.preprocessing.site_key import SiteKey

PIPELINE = """
[table]
file = "people.csv"
evaluation = "public.csv"
missing = ["NA"]

[[steps]]
step = "drop"
columns = ["name"]

[[steps]]
step = "hash"
columns = ["patient"]

[[steps]]
step = "band"
columns = ["age"]
width = 10
highest = 90

[[steps]]
step = "prefix"
columns = ["post"]
length = 2

[[steps]]
step = "date"
columns = ["seen"]

[[steps]]
step = "mask"
columns = ["note"]
pattern = "e-mail"

[[inputs]]
kind = "number"
column = "age"
low = 0
high = 100

[[inputs]]
kind = "category"
column = "post"
values = ["10", "20"]

[target]
column = "ill"
values = ["no", "yes"]
"""
PRIVATE = """name,patient,age,post,seen,note,ill
Ada,1,37,10115,2024-03-17,write to ada@mail.example.org,no
Bob,2,95,20095,2024-04-01T08:00:00,none,yes
Cyd,1,NA,10245,yesterday,NA,no
Dee,3,50,80331,2023-12-31,a@b.de or c@d.de,maybe
"""
PUBLIC = """age,post,ill
20,10,yes
80,20,no
"""


def made_folder(folder: Path, pipeline: str = PIPELINE) -> Path:
    """A site's folder with key, tables and pipeline."""
    folder.mkdir(exist_ok=True)
    SiteKey(folder).make()
    (folder / "pipeline.toml").write_text(pipeline, encoding="utf-8")
    (folder / "people.csv").write_text(PRIVATE, encoding="utf-8")
    (folder / "public.csv").write_text(PUBLIC, encoding="utf-8")
    return folder
