"""The rows of a study sorted into subjects, and the few different frames of visits the subjects have.

What a residual covariance looks like depends on a subject's *frame*: its stratum, its visits and whatever
else scales its residuals (weights, the covariate of a variance function). Determinants and factorisations
are needed once a frame, however many subjects share it. And because the likelihood depends on the subjects
of a frame only through the cross-products of all their numbers, many subjects with one frame are replaced by
as few made-up ones as those cross-products have rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Frames:
    """Subjects and their frames; m rows over all frames, n rows over all subjects.

    Attributes
    ----------
    order : ndarray (n,)
        Rows of the design, sorted by cluster, subject and visit.
    first : ndarray (m,)
        A row of the design that stands for each frame row.
    starts, sizes, counts : ndarray (F,)
        First frame row, number of visits and number of subjects of each frame.
    visits : ndarray (m,)
        Visit of each frame row.
    strata : ndarray (F,)
        Stratum of each frame.
    subject_frame, subject_start, subject_size : ndarray (S,)
        Frame, first sorted row and number of rows of each subject.
    """

    order: IntArray
    first: IntArray
    starts: IntArray
    sizes: IntArray
    counts: IntArray
    visits: IntArray
    strata: IntArray
    subject_frame: IntArray
    subject_start: IntArray
    subject_size: IntArray

    @property
    def rows(self) -> IntArray:
        """Frame row of each sorted row (n,)."""
        begin = np.repeat(self.starts[self.subject_frame] - self.subject_start, self.subject_size)
        return begin + np.arange(begin.shape[0])

    @property
    def subjects(self) -> IntArray:
        """Subject of each sorted row (n,)."""
        return np.repeat(np.arange(self.subject_frame.shape[0]), self.subject_size)

    @property
    def frame_of_row(self) -> IntArray:
        """Frame of each frame row (m,)."""
        return np.repeat(np.arange(self.starts.shape[0]), self.sizes)


def frames(
    subjects: IntArray, visits: IntArray, strata: IntArray, scaling: FloatArray, clusters: IntArray | None
) -> Frames:
    """Sort rows into subjects and find the distinct frames.

    Parameters
    ----------
    subjects, visits, strata : ndarray (n,)
        Codes of each row.
    scaling : ndarray (n, c)
        Whatever else scales the residual of a row; may have no columns.
    clusters : ndarray (n,) or None
        Group of the random effects, each a union of subjects.
    """
    keys = (visits, subjects) if clusters is None else (visits, subjects, clusters)
    order = np.lexsort(keys)
    new = np.append(True, np.diff(subjects[order]) != 0)
    start = np.flatnonzero(new)
    size = np.diff(np.append(start, order.shape[0]))
    columns = np.column_stack([visits, strata, scaling])[order]
    subject_frame = np.empty(start.shape[0], dtype=np.int64)
    firsts: list[IntArray] = []
    found = 0
    for s in np.unique(size):
        members = np.flatnonzero(size == s)
        signature = columns[start[members][:, None] + np.arange(s)].reshape(members.shape[0], -1)
        signature = signature[:, np.ptp(signature, axis=0) > 0]
        if signature.shape[1]:
            _, example, which = np.unique(signature, axis=0, return_index=True, return_inverse=True)
            which = which.reshape(-1)
        else:
            example, which = np.zeros(1, dtype=np.int64), np.zeros(members.shape[0], dtype=np.int64)
        subject_frame[members] = found + which
        firsts.extend(order[start[member] + np.arange(s)] for member in members[example])
        found += example.shape[0]
    sizes = np.array([rows.shape[0] for rows in firsts], dtype=np.int64)
    first = np.concatenate(firsts)
    starts = np.cumsum(sizes) - sizes
    return Frames(
        order=order,
        first=first,
        starts=starts,
        sizes=sizes,
        counts=np.bincount(subject_frame, minlength=found),
        visits=visits[first],
        strata=strata[first[starts]],
        subject_frame=subject_frame,
        subject_start=start,
        subject_size=size,
    )


def pooled_subjects(layout: Frames, W: FloatArray) -> tuple[Frames, FloatArray]:
    """The same likelihood from fewer subjects: those of a frame replaced by a root of their cross-products.

    Only without random effects. Frames keep their counts.

    Parameters
    ----------
    layout : Frames
        Subjects.
    W : ndarray (n, c)
        Columns of the fixed part and the outcome, sorted.

    Returns
    -------
    layout : Frames
        With the made-up subjects; `order` still holds the real rows.
    W : ndarray (n', c)
        Their rows.
    """
    c = W.shape[1]
    parts: list[FloatArray] = []
    frame_of: list[IntArray] = []
    members = np.argsort(layout.subject_frame, kind="stable")
    ends = np.cumsum(layout.counts)
    for f, (end, count, size) in enumerate(zip(ends, layout.counts, layout.sizes, strict=True)):
        inside = members[end - count : end]
        block = W[layout.subject_start[inside][:, None] + np.arange(size)].reshape(count, size * c)
        if count > size * c:
            values, vectors = np.linalg.eigh(block.T @ block)
            kept = values > 1e-15 * values[-1]
            block = (vectors[:, kept] * np.sqrt(values[kept])).T
        parts.append(block.reshape(-1, c))
        frame_of.append(np.full(block.shape[0], f, dtype=np.int64))
    subject_frame = np.concatenate(frame_of)
    size = layout.sizes[subject_frame]
    start = np.cumsum(size) - size
    fewer = replace(layout, subject_frame=subject_frame, subject_start=start, subject_size=size)
    return fewer, np.concatenate(parts)
