"""The style sheet of the HTML report; a test computes the contrast of its colours."""

LIGHT = {
    "paper": "#ffffff", "ink": "#1b2430", "quiet": "#4a5564", "rule": "#c9d0d9", "panel": "#f3f5f8",
    "first": "#1f5fa8", "second": "#0b6b50", "warn": "#a33a10", "bad": "#a3122a", "good": "#0b6b50",
    "third": "#6b3fa0", "track": "#dde2e9",
}  # fmt: skip
DARK = {
    "paper": "#12161c", "ink": "#e8ecf1", "quiet": "#b3bdca", "rule": "#3a4553", "panel": "#1b222b",
    "first": "#8ab8f0", "second": "#6fd0ac", "warn": "#f0a37c", "bad": "#ff9aa8", "good": "#6fd0ac",
    "third": "#c9a6f2", "track": "#333d4a",
}  # fmt: skip


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


STYLE = (
    f":root{{{_variables(LIGHT)}color-scheme:light dark}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    """
*{box-sizing:border-box}
body{margin:0 auto;max-width:66rem;padding:1.5rem 1.5rem 3rem;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem 1rem;margin-bottom:.9rem}
header p{margin:0;color:var(--quiet);overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.25rem;margin:2.6rem 0 .7rem;padding-top:.9rem;border-top:1px solid var(--rule)}
h3{font-size:1.05rem;margin:1rem 0 .3rem}
a{color:var(--first)}a:focus-visible,summary:focus-visible,.wide:focus-visible{
outline:3px solid var(--first);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;background:var(--paper);padding:.5rem}
.label{border:1px solid var(--rule);border-left:.5rem solid var(--quiet);border-radius:.5rem;
padding:1.1rem 1.4rem;background:var(--panel)}
.label h2{margin:0;padding:0;border:0;font-size:1.6rem}.label p{margin:.25rem 0}
.label .line{font-size:1.05rem}
.label .epsilon{font-size:2.3rem;line-height:1.2;margin:.7rem 0 .5rem}
.label .void{font-size:1.3rem}.label dl{margin-top:1rem}
.label .meaning{margin-top:.9rem;max-width:48rem}
.not_private{border-left-color:var(--bad)}.not_private h2{color:var(--bad)}
.guaranteed{border-left-color:var(--good)}.guaranteed h2{color:var(--good)}
.guaranteed_with_assumptions{border-left-color:var(--first)}
.guaranteed_with_assumptions h2{color:var(--first)}
.inconclusive{border-left-color:var(--warn)}.inconclusive h2{color:var(--warn)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:1rem 0 0}
nav a{display:inline-block;padding:.15rem 0}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(12rem,100%),1fr));
gap:.7rem 1.6rem;margin:.6rem 0}
dt{color:var(--quiet);font-size:.88rem}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.94rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--quiet);padding:.2rem 0 .4rem;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.45rem 1rem .45rem 0;
border-bottom:1px solid var(--rule);overflow-wrap:break-word}
thead th{font-weight:600;color:var(--quiet);vertical-align:bottom}
th[scope=row]{font-weight:600;min-width:9rem}
.badge{display:inline-block;padding:0 .55em;border:1px solid;border-radius:1em;font-size:.88em;
line-height:1.5;color:var(--quiet);white-space:nowrap}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.badge.good{color:var(--good)}.badge.warn{color:var(--warn)}.badge.bad{color:var(--bad)}
.track{display:block;width:7rem;height:.5rem;margin:.45rem 0 .3rem;background:var(--track);
border-radius:.25rem;overflow:hidden}
.track span{display:block;height:100%;background:var(--first)}
.track .warn{background:var(--warn)}.track .bad{background:var(--bad)}
.statements li{margin:.6rem 0}.problems{padding:0;list-style:none}
.problems li{margin:.7rem 0}.fix{color:var(--quiet)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));
gap:2.2rem 2.4rem}
figure{margin:0;min-width:0}figcaption{font-weight:600;margin-bottom:.4rem}
svg{width:100%;height:auto;display:block;overflow:visible}svg.scale{height:1.75rem;margin-top:.4rem}
svg text{fill:var(--ink);font:13px system-ui,-apple-system,"Segoe UI",sans-serif}
svg .tick{fill:var(--quiet);font-size:12px}svg .value{font-weight:600}
.grid{stroke:var(--rule);stroke-width:1;fill:none}
.base{stroke:var(--quiet);stroke-width:1.2;fill:none}
.line{fill:none;stroke-width:2.4;stroke-linejoin:round}
.line.faint{stroke:var(--quiet);stroke-dasharray:3 4;stroke-width:1.5}
.line.first{stroke:var(--first)}.line.second{stroke:var(--second)}.line.third{stroke:var(--third)}
.line.warn{stroke:var(--warn);stroke-dasharray:7 5}
.dot.first{fill:var(--first)}.dot.second{fill:var(--second)}.dot.third{fill:var(--third)}
.ground{fill:var(--track)}.bar{fill:var(--first)}.bar.second{fill:var(--second)}
.bar.third{fill:var(--third)}.limit{stroke:var(--warn);stroke-width:3.5;fill:none}
.whisker{stroke:var(--ink);stroke-width:2;fill:none}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.4rem 0;
font-size:.92rem}
.key{display:inline-block;width:1.5rem;border-top:4px solid;margin-right:.45rem;
vertical-align:middle}
.key.first{color:var(--first)}.key.second{color:var(--second)}.key.third{color:var(--third)}
.key.warn{color:var(--warn);border-top-style:dashed}
.key.faint{color:var(--quiet);border-top-style:dotted}
.described{color:var(--quiet);font-size:.92rem;margin:.35rem 0 0}
details{font-size:.92rem;margin:.3rem 0}summary{cursor:pointer;padding:.15rem 0}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
code{font-size:.9em}.problems code{color:var(--quiet)}
footer{margin-top:2.5rem;color:var(--quiet)}
@media screen and (max-width:44rem){
h2{margin-top:2rem}
body{padding:1rem}.label{padding:.9rem 1rem}h2{font-size:1.15rem}.label h2{font-size:1.35rem}
svg text{font-size:16px}svg .tick{font-size:15px}
dl{grid-template-columns:repeat(auto-fit,minmax(min(8.5rem,100%),1fr))}
.cards,.cards caption,.cards tbody,.cards tr,.cards th,.cards td{display:block}
.cards thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.cards tbody tr{border-bottom:1px solid var(--rule);padding:.55rem 0}
.cards tbody th,.cards td{border:0;padding:.1rem 0}
.cards td{display:grid;grid-template-columns:8.5rem minmax(0,1fr);gap:.6rem}
.cards td::before{content:attr(data-label);color:var(--quiet)}
}
@media print{@page{margin:16mm}
body{max-width:none;padding:0;font-size:10pt}nav,figure details,.skip{display:none}
h2{margin-top:1.4rem;break-after:avoid}h3{break-after:avoid}
figure,tr,li,.label,dl>div{break-inside:avoid}.wide{overflow:visible}
.plots{grid-template-columns:1fr 1fr;gap:1.2rem 1.6rem}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
)
