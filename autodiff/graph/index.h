// Classes as integers.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

/// The class with the greatest entry of each row, the lowest among equals: [n, classes] -> int32 [n]. No
/// derivative.
Value argmax(Value x);
/// Entry labels[r] of row r: [n, classes], int32 [n] -> [n]. Labels are not checked when the program runs:
/// the readers of data sets do that.
Value gather(Value x, Value labels);
/// x[r] in column labels[r], zeros elsewhere: [n], int32 [n] -> [n, classes].
Value scatter(Value x, Value labels, int classes);
/// Rows with a 1 in column labels[r]: int32 [n] -> [n, classes].
Value one_hot(Value labels, int classes);

}  // namespace autodiff
