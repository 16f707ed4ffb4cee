// All builders of ops.
#pragma once

#include "autodiff/graph/conv2d.h"
#include "autodiff/graph/dropout.h"
#include "autodiff/graph/elementwise.h"
#include "autodiff/graph/graph.h"
#include "autodiff/graph/index.h"
#include "autodiff/graph/loss.h"
#include "autodiff/graph/matmul.h"
#include "autodiff/graph/moments.h"
#include "autodiff/graph/movement.h"
#include "autodiff/graph/pool.h"
#include "autodiff/graph/reduce.h"
#include "autodiff/graph/softmax.h"
