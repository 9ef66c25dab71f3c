"""Margins of all pairs from one embedding per candidate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["margins"]

Floats = npt.NDArray[np.float64]


def margins(embeddings: npt.ArrayLike, gates: npt.ArrayLike) -> Floats:
    """S = V R^T V^T, [K, K], row above column; antisymmetric and 0 on the diagonal, both exactly.

    s(a, b) = v_a R^T v_b = sum over blocks i of l_i (v_a[2i] v_b[2i+1] - v_a[2i+1] v_b[2i]), where block i of R is
    [[0, -l_i], [l_i, 0]]: equation 4.1 of arXiv 2410.02197 and upstream's code. The paper's gated formula, v_a D R D
    v_b, has the other sign.

    The gate comes of the prompt alone, so candidates that answer one prompt share it. Where they answer different
    prompts, for which the paper says nothing, each brings its own square roots, as D does for one prompt: l_i is then
    sqrt(l_a,i l_b,i), and S stays antisymmetric.

    Args:
        embeddings: [K, d], d even.
        gates: [K, d/2], none below 0.
    """
    rooted = np.sqrt(np.asarray(gates, dtype=np.float64))
    values = np.asarray(embeddings, dtype=np.float64)
    products = (rooted * values[:, 0::2]) @ (rooted * values[:, 1::2]).T
    return products - products.T
