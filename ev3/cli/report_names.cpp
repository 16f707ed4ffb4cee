// Names of groups: what differs between their settings.
#include <algorithm>
#include <map>
#include <set>

#include "ev3/cli/report_study.h"

namespace ev3::cli {
namespace {

using Map = std::map<std::string, std::string>;

// Keys whose values are not the same everywhere, in the order of their first appearance. `everywhere`: only
// those that all have. Where another kind of optimizer is chosen many keys come and go; its kind says it all.
std::vector<std::string> differing(const std::vector<FlatSettings>& all, const std::vector<Map>& maps,
                                   bool everywhere) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const FlatSettings& settings : all) {
    for (const auto& [key, value] : settings) {
      if (!seen.insert(key).second) continue;
      const auto has = [&name = key](const Map& m) { return m.contains(name); };
      const auto same = [&has, &name = key, &expected = value](const Map& m) {
        return has(m) && m.at(name) == expected;
      };
      if (everywhere && !std::all_of(maps.begin(), maps.end(), has)) continue;
      if (!std::all_of(maps.begin(), maps.end(), same)) out.push_back(key);
    }
  }
  return out;
}

std::vector<std::string> names_by(const std::vector<Map>& maps, const std::vector<std::string>& keys) {
  std::vector<std::string> out;
  for (const Map& m : maps) {
    std::string name;
    for (const std::string& key : keys) {
      name += (name.empty() ? "" : ",") + short_key(key, keys) + '=' + (m.contains(key) ? m.at(key) : "none");
    }
    out.push_back(name);
  }
  return out;
}

}  // namespace

std::string short_key(const std::string& key, const std::vector<std::string>& keys) {
  for (std::size_t dot = key.rfind('.'); dot != key.npos && dot > 0; dot = key.rfind('.', dot - 1)) {
    const std::string end = key.substr(dot);
    const auto others = std::count_if(keys.begin(), keys.end(),
                                      [&](const std::string& k) { return ("." + k).ends_with(end); });
    if (others == 1) return end.substr(1);
  }
  return key;
}

std::vector<std::string> distinguish(const std::vector<FlatSettings>& all) {
  if (all.size() == 1) return {"all"};
  std::vector<Map> maps;
  for (const FlatSettings& settings : all) maps.emplace_back(settings.begin(), settings.end());
  const std::vector<std::string> short_names = names_by(maps, differing(all, maps, true));
  const std::set<std::string> different(short_names.begin(), short_names.end());
  return different.size() == all.size() ? short_names : names_by(maps, differing(all, maps, false));
}

}  // namespace ev3::cli
