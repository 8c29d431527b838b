"""The style of a report: light, dark, and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1d21; --soft: #5b606b; --paper: #fff; --rule: #dfe2e8; --best: #0b62d6;
  --trial: #9aa3b2; --teacher: #b3470b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --soft: #a4abb8; --paper: #15171b; --rule: #333943;
  --best: #6aa9ff; --trial: #707a8a; --teacher: #ff9d5c; } }
@media print { :root { --ink: #000; --soft: #333; --paper: #fff; --rule: #bbb; --best: #0b4fae; --trial: #888;
  --teacher: #8a3606; } details::details-content { content-visibility: visible; block-size: auto; }
  details > * { display: block; } figure, tr { break-inside: avoid; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.note { border-left: 3px solid var(--teacher); padding-left: .6rem; } .fine { color: var(--soft); font-size: .9em; }
.wide { overflow-x: auto; margin: .75rem 0; } table { border-collapse: collapse; font-size: .92em; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 500; } pre { overflow-x: auto; white-space: pre-wrap; font-size: .85em; }
figure { margin: 1rem 0; overflow-x: auto; } figcaption { color: var(--soft); font-size: .9em; }
summary { cursor: pointer; }
svg { width: 100%; min-width: 34rem; height: auto; }
svg text { fill: var(--soft); font-size: 12px; } svg .grid { stroke: var(--rule); }
svg path { fill: none; stroke: var(--best); stroke-width: 1.5; } svg path.teacher { stroke: var(--teacher);
  stroke-dasharray: 5 4; } svg g.trial circle { fill: var(--trial); } svg g.best circle { fill: var(--best); }
svg g.best .interval { stroke: var(--best); opacity: .5; } svg g.teacher path { fill: var(--teacher); stroke: none; }
svg g.baseline path { fill: var(--soft); stroke: none; }
"""
