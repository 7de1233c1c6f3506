"""The style sheet of the HTML report; a test computes the contrast of its colours."""

LIGHT = {
    "paper": "#ffffff", "ink": "#1b2430", "quiet": "#4a5564", "rule": "#c9d0d9", "panel": "#f3f5f8",
    "first": "#1f5fa8", "second": "#0b6b50", "warn": "#a33a10", "bad": "#a3122a", "good": "#0b6b50",
}  # fmt: skip
DARK = {
    "paper": "#12161c", "ink": "#e8ecf1", "quiet": "#b3bdca", "rule": "#3a4553", "panel": "#1b222b",
    "first": "#8ab8f0", "second": "#6fd0ac", "warn": "#f0a37c", "bad": "#ff9aa8", "good": "#6fd0ac",
}  # fmt: skip


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


STYLE = (
    f":root{{{_variables(LIGHT)}color-scheme:light dark}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    """
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1rem 1.25rem 3rem;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,sans-serif}
header p{margin:0;color:var(--quiet)}h1{font-size:1.5rem;margin:.1rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .6rem}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;background:var(--paper);padding:.5rem}
.label{border:2px solid var(--ink);border-radius:.6rem;padding:1rem 1.25rem;background:var(--panel)}
.label h2{margin:0;font-size:1.5rem}.label p{margin:.3rem 0}
.label .epsilon{font-size:1.6rem;margin:.6rem 0}
.not_private{border-color:var(--bad)}.not_private h2{color:var(--bad)}
.guaranteed{border-color:var(--good)}.guaranteed h2{color:var(--good)}
.guaranteed_with_assumptions{border-color:var(--first)}
.guaranteed_with_assumptions h2{color:var(--first)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.5rem 1.5rem;
margin:.5rem 0}
dt{color:var(--quiet);font-size:.88rem}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.94rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--quiet);padding:.2rem 0;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem .35rem 0;
border-bottom:1px solid var(--rule)}
th[scope=row]{font-weight:600}
.statements li{margin:.5rem 0}.problems{padding-left:1.1rem}
.problems li{margin:.5rem 0}.critical strong{color:var(--bad)}.warning strong{color:var(--warn)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:1.5rem}
figure{margin:0;min-width:0}figcaption{font-weight:600}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}.tick,.label text{fill:var(--quiet)}
.grid{stroke:var(--rule);stroke-width:1;fill:none}
.line{fill:none;stroke-width:2.4}
.line.faint{stroke:var(--quiet);stroke-dasharray:3 4;stroke-width:1.4}
.line.first{stroke:var(--first)}.line.second{stroke:var(--second)}
.line.warn{stroke:var(--warn);stroke-dasharray:7 5}
.bar{fill:var(--first)}.limit{stroke:var(--warn);stroke-width:3;fill:none}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.3rem 0;
font-size:.9rem}
.key{display:inline-block;width:1.6rem;border-top:3px solid;margin-right:.45rem;
vertical-align:middle}
.key.first{color:var(--first)}.key.second{color:var(--second)}
.key.warn{color:var(--warn);border-top-style:dashed}
.key.faint{color:var(--quiet);border-top-style:dotted}
.described{color:var(--quiet);font-size:.9rem;margin:.2rem 0}
details{font-size:.9rem}summary{cursor:pointer}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
code{font-size:.92em}footer{margin-top:2.5rem;color:var(--quiet)}
@media (max-width:34rem){body{padding:.75rem}table{font-size:.88rem}svg text{font-size:15px}}
@media print{body{max-width:none;font-size:11pt}figure details{display:none}
section,figure{break-inside:avoid}.wide{overflow:visible}}
"""
)
