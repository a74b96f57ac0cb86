"""Compiled steps of the blocked Cholesky factorisation: see `elimination` for the layout of the blocks.

With ``M = L L'`` the nodes taken out singly are factored here, the dense components of the core by LAPACK.
The *selected inverse* (Erisman & Tinney 1975) holds the elements of ``M^-1`` on the blocks of ``L``: all that
a gradient and the conditional variances need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_compiled: Any = njit(cache=True, error_model="numpy")


@_compiled
def first_core(coupled, low, high, single):  # type: ignore[no-untyped-def]
    """First of the couplings low .. high - 1, in increasing order, that leads into the core."""
    while low < high:
        middle = (low + high) // 2
        if coupled[middle] < single:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def spots_in_core(spot, size, shift, coupled, low, high):  # type: ignore[no-untyped-def]
    """Rows of the core's matrix that couplings low .. high - 1 lead to, into `spot`; and how many."""
    height = 0
    for x in range(low, high):
        k = coupled[x]
        for a in range(size[k]):
            spot[height] = shift[k] + a
            height += 1
    return height


@_compiled
def assemble(M, A, begin, late, early, at, Lambdas, size, factor, width):  # type: ignore[no-untyped-def]
    """``Lambda'A Lambda`` block by block into M, which holds zeros and ones on the diagonal."""
    for e in range(late.shape[0]):
        r, c = late[e], early[e]
        qr, qc, ld = size[r], size[c], width[c]
        Lr, Lc = Lambdas[factor[r]], Lambdas[factor[c]]
        for a in range(qr):
            for b in range(qc):
                total = 0.0
                for u in range(qr):
                    for v in range(qc):
                        total += Lr[u, a] * A[begin[e] + u * qc + v] * Lc[v, b]
                M[at[e] + a * ld + b] += total


@_compiled
def factor_singles(M, single, size, start, width, shift, first, coupled, row):  # type: ignore[no-untyped-def]
    """Factor the single nodes in place and take their part from what is left; log|L|^2, NaN if it fails."""
    log_det = 0.0
    spot = np.empty(size.shape[0] * size.max(), dtype=np.int64)
    for i in range(single):
        q, s = size[i], start[i]
        for b in range(q):
            d = M[s + b * q + b]
            for c in range(b):
                d -= M[s + b * q + c] ** 2
            if not d > 0:
                return np.nan
            root = np.sqrt(d)
            log_det += 2 * np.log(root)
            M[s + b * q + b] = root
            height = q
            if first[i + 1] > first[i]:
                last = first[i + 1] - 1
                height = row[last] + size[coupled[last]]
            for a in range(b + 1, height):
                value = M[s + a * q + b]
                for c in range(b):
                    value -= M[s + a * q + c] * M[s + b * q + c]
                M[s + a * q + b] = value / root
        split = first_core(coupled, first[i], first[i + 1], single)
        for x in range(first[i], split):
            k, rk = coupled[x], row[x]
            qk, ld = size[k], width[k]
            at, z = start[k], first[k]
            for y in range(x, first[i + 1]):
                l, rl = coupled[y], row[y]
                if y > x:  # node k is coupled to all that i is coupled to behind k, in the same order
                    while coupled[z] != l:
                        z += 1
                    at = start[k] + row[z] * ld
                for a in range(size[l]):
                    for b in range(qk):
                        value = 0.0
                        for c in range(q):
                            value += M[s + (rl + a) * q + c] * M[s + (rk + b) * q + c]
                        M[at + a * ld + b] -= value
        if split < first[i + 1]:
            height = spots_in_core(spot, size, shift, coupled, split, first[i + 1])
            k = coupled[split]
            base, ld, below = start[k], width[k], s + row[split] * q
            for a in range(height):  # row by row, as the core lies in memory
                along = base + spot[a] * ld
                for b in range(a + 1):
                    value = 0.0
                    for c in range(q):
                        value += M[below + a * q + c] * M[below + b * q + c]
                    M[along + spot[b]] -= value
    return log_det


@_compiled
def forward(M, Y, single, size, start, column, first, coupled, row):  # type: ignore[no-untyped-def]
    """Solve L y = Y in place, single nodes only; the core's rows receive what they owe."""
    width = Y.shape[1]
    for i in range(single):
        q, s, at = size[i], start[i], column[i]
        for a in range(q):
            for t in range(width):
                value = Y[at + a, t]
                for c in range(a):
                    value -= M[s + a * q + c] * Y[at + c, t]
                Y[at + a, t] = value / M[s + a * q + a]
        for x in range(first[i], first[i + 1]):
            k = coupled[x]
            for a in range(size[k]):
                for c in range(q):
                    m = M[s + (row[x] + a) * q + c]
                    for t in range(width):
                        Y[column[k] + a, t] -= m * Y[at + c, t]


@_compiled
def backward(M, Y, single, size, start, column, first, coupled, row):  # type: ignore[no-untyped-def]
    """Solve L'y = Y in place for the single nodes, the core's rows being solved."""
    width = Y.shape[1]
    for i in range(single - 1, -1, -1):
        q, s, at = size[i], start[i], column[i]
        for x in range(first[i], first[i + 1]):
            k = coupled[x]
            for a in range(size[k]):
                for c in range(q):
                    m = M[s + (row[x] + a) * q + c]
                    for t in range(width):
                        Y[at + c, t] -= m * Y[column[k] + a, t]
        for a in range(q - 1, -1, -1):
            for t in range(width):
                value = Y[at + a, t]
                for c in range(a + 1, q):
                    value -= M[s + c * q + a] * Y[at + c, t]
                Y[at + a, t] = value / M[s + a * q + a]


@_compiled
def inverse_singles(M, V, tallest, single, size, start, width, shift, first, coupled, row):  # type: ignore[no-untyped-def]
    """Selected inverse V of the single nodes, that of the core being in place.

    With R the blocks below node i and Y = R L_i^-1: ``V_below,i = -V_below,below Y`` and
    ``V_ii = L_i^-T L_i^-1 - Y'V_below,i``.
    """
    widest = 1
    for i in range(single):
        widest = max(widest, size[i])
    Y = np.empty((tallest + 1, widest))
    root = np.empty((widest, widest))
    spot = np.empty(tallest + 1, dtype=np.int64)
    for i in range(single - 1, -1, -1):
        q, s = size[i], start[i]
        height = 0
        if first[i + 1] > first[i]:
            last = first[i + 1] - 1
            height = row[last] + size[coupled[last]] - q
        for b in range(q):  # root = L_i^-1
            for a in range(q):
                root[a, b] = 0.0
            root[b, b] = 1.0 / M[s + b * q + b]
            for a in range(b + 1, q):
                value = 0.0
                for c in range(b, a):
                    value -= M[s + a * q + c] * root[c, b]
                root[a, b] = value / M[s + a * q + a]
        for a in range(height):
            for b in range(q):
                value = 0.0
                for c in range(b, q):
                    value += M[s + (q + a) * q + c] * root[c, b]
                Y[a, b] = value
                V[s + (q + a) * q + b] = 0.0
        _below(V, Y, spot, i, single, size, start, width, shift, first, coupled, row)
        for a in range(q):
            for b in range(q):
                value = 0.0
                for c in range(max(a, b), q):
                    value += root[c, a] * root[c, b]
                for c in range(height):
                    value -= Y[c, a] * V[s + (q + c) * q + b]
                V[s + a * q + b] = value


@_compiled
def _below(V, Y, spot, i, single, size, start, width, shift, first, coupled, row):  # type: ignore[no-untyped-def]
    """``V_below,i -= V_below,below Y`` of node i."""
    q, s = size[i], start[i]
    split = first_core(coupled, first[i], first[i + 1], single)
    for x in range(first[i], split):
        k, rk = coupled[x], row[x] - q
        ld = width[k]
        at, z = start[k], first[k]
        for y in range(x, first[i + 1]):
            l, rl = coupled[y], row[y] - q
            if y > x:
                while coupled[z] != l:
                    z += 1
                at = start[k] + row[z] * ld
            for a in range(size[l]):
                for b in range(size[k]):
                    v = V[at + a * ld + b]
                    for c in range(q):
                        V[s + (q + rl + a) * q + c] -= v * Y[rk + b, c]
                        if x != y:
                            V[s + (q + rk + b) * q + c] -= v * Y[rl + a, c]
    if split < first[i + 1]:
        height = spots_in_core(spot, size, shift, coupled, split, first[i + 1])
        k = coupled[split]
        base, ld, r = start[k], width[k], row[split] - q
        for a in range(height):
            along = base + spot[a] * ld
            for c in range(q):
                total = V[along + spot[a]] * Y[r + a, c]
                y = Y[r + a, c]
                for b in range(a):
                    v = V[along + spot[b]]
                    total += v * Y[r + b, c]
                    V[s + (q + r + b) * q + c] -= v * y
                V[s + (q + r + a) * q + c] -= total


@_compiled
def slope(V, A, begin, late, early, at, Lambdas, size, factor, width, out):  # type: ignore[no-untyped-def]
    """Diagonal blocks of ``A Lambda M^-1``, summed over the nodes of each factor, added to out (F, q, q)."""
    for e in range(late.shape[0]):
        r, c = late[e], early[e]
        qr, qc, ld = size[r], size[c], width[c]
        Lr, Lc = Lambdas[factor[r]], Lambdas[factor[c]]
        for a in range(qr):
            for b in range(qr):  # A_rc Lambda_c V_cr
                total = 0.0
                for u in range(qc):
                    inner = 0.0
                    for v in range(qc):
                        inner += Lc[u, v] * V[at[e] + b * ld + v]
                    total += A[begin[e] + a * qc + u] * inner
                out[factor[r], a, b] += total
        if r != c:
            for a in range(qc):
                for b in range(qc):  # A_cr Lambda_r V_rc
                    total = 0.0
                    for u in range(qr):
                        inner = 0.0
                        for v in range(qr):
                            inner += Lr[u, v] * V[at[e] + v * ld + b]
                        total += A[begin[e] + u * qc + a] * inner
                    out[factor[c], a, b] += total


@_compiled
def mirror(V, single, size, start, width, shift):  # type: ignore[no-untyped-def]
    """Make the diagonal blocks of the core's nodes symmetric: their lower triangles hold."""
    for i in range(single, size.shape[0]):
        at = start[i] + shift[i] * width[i] + shift[i]
        for a in range(size[i]):
            for b in range(a):
                V[at + b * width[i] + a] = V[at + a * width[i] + b]


@_compiled
def blocks(V, nodes, size, start, width, shift, out):  # type: ignore[no-untyped-def]
    """Diagonal blocks of V of some nodes into out (len(nodes), q, q)."""
    for e in range(nodes.shape[0]):
        i = nodes[e]
        at = start[i] + shift[i] * width[i] + shift[i]
        for a in range(size[i]):
            for b in range(size[i]):
                out[e, a, b] = V[at + a * width[i] + b]
