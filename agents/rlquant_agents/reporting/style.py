"""How the page looks: light and dark, on a phone, on a screen and on paper."""

from __future__ import annotations

STYLE = (
    """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1c1c; --faint: #5c5c5c; --line: #dcdcdc; --shade: #f4f4f4;
  --c0: #0072b2; --c1: #c04f00; --c2: #00805c; --c3: #a8507f;
  --c4: #8a6100; --c5: #2f7fb0; --c6: #7f3c8d; --c7: #555555;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --ink: #e8e8e8; --faint: #a9adb1; --line: #3a3f44; --shade: #1f2327;
    --c0: #56b4e9; --c1: #ff9a4d; --c2: #2bc49a; --c3: #e6a0c8;
    --c4: #e6b93c; --c5: #9ad0f0; --c6: #c79ad3; --c7: #b5b5b5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 64rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; }
p { margin: 0.5rem 0; max-width: 48rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; list-style: none; padding: 0; }
a { color: var(--c0); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; margin: 0.8rem 0; }
dt { color: var(--faint); }
dd { margin: 0; min-width: 0; }
.wide { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); padding-bottom: 0.3rem; }
th, td { padding: 0.3rem 0.7rem; text-align: left; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; white-space: normal; }
tbody tr { border-bottom: 1px solid var(--line); }
tfoot tr, .ours { font-weight: 600; background: var(--shade); }
tbody th { font-weight: 400; position: sticky; left: 0; background: var(--paper); }
.ours th { font-weight: 600; background: var(--shade); }
.number { text-align: right; }
.lines { font-size: 0.95em; line-height: 1.4; }
.lines span { display: block; }
.faint { color: var(--faint); }
pre { background: var(--shade); padding: 0.8rem; font-size: 0.9rem; white-space: pre-wrap; }
pre.copy { -webkit-user-select: all; user-select: all; }
figure { margin: 0.8rem 0; }
figcaption { color: var(--faint); font-size: 0.9rem; }
.keys { display: flex; flex-wrap: wrap; gap: 0.1rem 1.2rem; }
.keys { list-style: none; padding: 0; margin: 0; }
.keys svg { width: 1.8rem; height: 0.9rem; vertical-align: -0.1rem; margin-right: 0.3rem; }
svg.chart { display: block; width: 100%; min-width: 36rem; max-width: 46rem; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .faint { fill: var(--faint); }
svg .grid { stroke: var(--line); stroke-width: 1; fill: none; }
svg .line { fill: none; stroke-width: 2; }
svg .dots { fill: none; stroke-width: 6; stroke-linecap: round; stroke-opacity: 0.55; }
svg .fine { stroke-width: 4; }
svg .rule { fill: none; stroke-width: 1.5; }
svg .ink { stroke: var(--ink); }
svg .grey { stroke: var(--faint); }
svg .solid-ink { fill: var(--ink); }
svg .solid-grey { fill: var(--line); }
"""
    + "".join(
        f"svg .c{i} {{ stroke: var(--c{i}); }}\nsvg .solid{i} {{ fill: var(--c{i}); }}\n"
        for i in range(8)
    )
    + """
@media print {
  :root {
    color-scheme: light;
    --paper: #ffffff; --ink: #000000; --faint: #444444; --line: #bbbbbb; --shade: #f4f4f4;
    --c0: #0072b2; --c1: #c04f00; --c2: #00805c; --c3: #a8507f;
    --c4: #8a6100; --c5: #2f7fb0; --c6: #7f3c8d; --c7: #555555;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .wide { overflow: visible; }
  th, td { white-space: normal; padding: 0.15rem 0.4rem; }
  td.number { white-space: nowrap; }
  table { font-size: 8pt; }
  tbody th { position: static; }
  svg.chart { min-width: 0; }
  h2 { break-after: avoid; }
  tr, figure { break-inside: avoid; }
}
"""
)
