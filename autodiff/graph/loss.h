// Losses from logits, one number per sample; take their mean for a training loss.
#pragma once

#include "autodiff/graph/graph.h"

namespace autodiff {

/// Cross entropy of softmax(logits) against class labels: [n, classes], int32 [n] -> [n].
/// Or against probabilities p [n, classes], each row summing to 1: -sum over c of p_c log softmax(logits)_c.
Value cross_entropy(Value logits, Value labels_or_probabilities);
/// Kullback-Leibler divergence of two softmaxes along the last axis: [n, classes] twice -> [n],
/// kl(p, q) = sum over c of P_c (log P_c - log Q_c) with P = softmax(p), Q = softmax(q).
/// With p the student this is the reverse form, with p the teacher the forward one.
Value kl_divergence(Value p_logits, Value q_logits);

}  // namespace autodiff
