"""Tables made ready at the site, as a file beside them declares: cleaned, de-identified, scaled."""

FILE = "pipeline.toml"
KEY_FILE = "site.key"
