#include "ev3/cli/html.h"

#include "ev3/cli/build_info.h"

namespace ev3::cli {
namespace {

// Series colours are those of Okabe and Ito (2008), told apart by the colour-blind too; darker on white and
// lighter on black, so that a line stands out by 3:1 at least. Charts are drawn 720 units wide and scaled to
// the width that there is: their text is larger where that is small.
constexpr const char* style = R"css(
:root {
  color-scheme: light dark;
  --back: #ffffff; --card: #f7f7f5; --ink: #1c1c1a; --soft: #5c5c57; --line: #dcdcd6; --grid: #e6e6e1;
  --c0: #0067a5; --c1: #c24e00; --c2: #007f5f; --c3: #a1478b; --c4: #8a6d00; --c5: #3b83b8; --c6: #6b4fb3; --c7: #6a6a66;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #141413; --card: #1e1e1c; --ink: #ededea; --soft: #a9a9a2; --line: #3a3a37; --grid: #2e2e2b;
    --c0: #5db4f0; --c1: #f5894a; --c2: #35c79c; --c3: #e293c8; --c4: #e3c04d; --c5: #9bd0f5; --c6: #b39df0; --c7: #a9a9a2;
  }
}
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 36px 0 8px; }
p { margin: 4px 0 12px; }
.lead, .note, footer, figcaption span { color: var(--soft); }
.note, footer { font-size: .85rem; margin: 6px 0; }
footer { margin-top: 40px; border-top: 1px solid var(--line); padding-top: 12px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 8px; margin: 16px 0; padding: 0; }
.facts div { background: var(--card); border-radius: 8px; padding: 8px 12px; min-width: 0; }
.facts .wide { grid-column: span 2; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 12px 12px 10px; min-width: 0; }
figcaption { font-weight: 600; line-height: 1.35; overflow-wrap: anywhere; }
figcaption span { font-weight: 400; font-size: .85rem; display: block; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font-size: 16px; font-family: inherit; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--grid); } svg .axis { stroke: var(--soft); }
svg .grid, svg .axis { fill: none; stroke-width: 1; vector-effect: non-scaling-stroke; }
svg .line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
svg .faint { opacity: .35; stroke-width: 1.25; }
svg .dashed { stroke-dasharray: 5 4; }
svg .band { fill: currentColor; opacity: .16; }
svg .dot { fill: currentColor; stroke: var(--card); stroke-width: 1; vector-effect: non-scaling-stroke; }
svg .ring { fill: var(--card); stroke: currentColor; stroke-width: 2; vector-effect: non-scaling-stroke; }
svg .mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; vector-effect: non-scaling-stroke; }
svg .solid { stroke-dasharray: none; }
svg .bar { fill: currentColor; }
svg .hit { fill: transparent; stroke: transparent; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0; font-size: .85rem; }
.legend li { display: flex; align-items: center; gap: 6px; min-width: 0; overflow-wrap: anywhere; }
.key { flex: none; width: 18px; height: 3px; background: currentColor; border-radius: 2px; }
.key.area { height: 12px; opacity: .3; } .key.dot { width: 11px; height: 11px; border-radius: 50%; }
.key.ring { width: 11px; height: 11px; border-radius: 50%; background: none; border: 2px solid; }
.key.square { width: 11px; height: 11px; border-radius: 2px; }
.key.dash { background: none; border-top: 1px dashed var(--soft); height: 0; }
.key.rule { background: none; border-top: 1px solid var(--soft); height: 0; }
.bars { display: grid; gap: 10px; margin: 8px 0; }
.bars .bar { display: flex; height: 14px; background: var(--grid); border-radius: 4px; overflow: hidden; }
.bars .bar span { background: currentColor; }
.bars .bar .half { opacity: .55; } .bars .bar .quarter { opacity: .28; }
.bars .label { display: flex; justify-content: space-between; gap: 12px; font-size: .9rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: left; white-space: pre; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } tbody tr:last-child td { border-bottom: 0; } .r { text-align: right; }
details { margin-top: 16px; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; background: var(--card); border-radius: 8px; padding: 12px; font-size: .8rem; line-height: 1.45; }
@media (max-width: 640px) {
  svg text { font-size: 23px; } svg .point { r: 6.5px; }
  main { padding: 16px 12px 32px; }
  h1 { font-size: 1.3rem; }
}
@media print { figure, tr { break-inside: avoid; } }
)css";

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      const auto code = static_cast<unsigned char>(c);
      out += (code < 0x20 && c != '\n') || code == 0x7f ? ' ' : c;
    }
  }
  return out;
}

std::string color_class(std::size_t series) { return "c" + std::to_string(series % html_colors); }

std::string html_page(std::string_view title, std::string_view body) {
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         html_escaped(title) + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n" +
         std::string(body) + "<footer>Written by ev3 " + version +
         ". Hover over points for their figures.</footer>\n</main>\n</body>\n</html>\n";
}

}  // namespace ev3::cli
