// Catch2 version 2 (Debian 12) or 3 (Ubuntu 24.04) under one name: TEST_CASE, Approx, ContainsSubstring ...
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>

#include <string>

namespace Catch::Matchers {
inline auto ContainsSubstring(const std::string& part) { return Contains(part); }
}  // namespace Catch::Matchers
using Catch::Detail::Approx;
#endif

using Catch::Matchers::ContainsSubstring;
