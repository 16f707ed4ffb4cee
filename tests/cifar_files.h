// CIFAR's files in small, for tests: n records a file, with bytes that tell where they belong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

/// Writes a file, and the folder it is in.
inline void put(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The byte of pixel (y, x) in channel c of image i.
inline std::uint8_t cifar_byte(int i, int c, int y, int x) {
  return static_cast<std::uint8_t>(37 * i + 85 * c + 7 * y + x);
}

/// The three planes of image i.
inline std::string cifar_planes(int i) {
  std::string out;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) out += static_cast<char>(cifar_byte(i, c, y, x));
    }
  }
  return out;
}

/// Five files of n records and a test file of n: image i of all is of class i % 10.
inline void make_cifar10(const std::filesystem::path& folder, int n) {
  int i = 0;
  for (const char* name :
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"}) {
    std::string bytes;
    for (int row = 0; row < n; ++row, ++i) bytes += static_cast<char>(i % 10) + cifar_planes(i);
    put(folder / (std::string(name) + ".bin"), bytes);
  }
}

/// Two files of n records: image i is of class i % 100, in the group i % 100 / 5.
inline void make_cifar100(const std::filesystem::path& folder, int n) {
  std::string bytes;
  for (int i = 0; i < n; ++i) {
    bytes += static_cast<char>(i % 100 / 5);
    bytes += static_cast<char>(i % 100) + cifar_planes(i);
  }
  put(folder / "train.bin", bytes);
  put(folder / "test.bin", bytes);
}
