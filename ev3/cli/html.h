// HTML pages that need nothing but themselves: no script, no network, light and dark, wide and narrow.
#pragma once

#include <string>
#include <string_view>

namespace ev3::cli {

/// Text for an element or an attribute: & < > " as entities, control characters as spaces.
std::string html_escaped(std::string_view text);

/// Colours of series: classes c0 to c7, which set `color`. After the last one comes the first one.
inline constexpr int html_colors = 8;
/// The class of a series: "c3".
std::string color_class(std::size_t series);

/// A complete document. `title` is plain text, `body` is HTML.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace ev3::cli
