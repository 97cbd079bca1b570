"""Every intrinsic against NumPy, on the same eight numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from quintet.features.lanes import (
    LANES,
    absolute,
    across,
    lane_rows,
    load,
    load_frames,
    load_run,
    mask_bits,
    maximum,
    minimum,
    select,
    splat,
    split_exponent,
    sqrt,
    store,
)


@njit
def _arithmetic(rows, results):
    a, b = load(rows, 0), load(rows, 1)
    store(results, 0, a + b)
    store(results, 1, a - b)
    store(results, 2, a * b)
    store(results, 3, a / b)
    store(results, 4, -a)
    store(results, 5, 2.0 - a)
    store(results, 6, a * 3)
    store(results, 7, sqrt(absolute(a)))
    store(results, 8, absolute(a))
    store(results, 9, minimum(a, b))
    store(results, 10, maximum(a, b))
    store(results, 11, splat(7))
    total = splat(0.0)
    for i in range(rows.shape[0]):
        total += load(rows, i)
    store(results, 12, total)


@njit
def _comparisons(rows, results):
    a, b = load(rows, 0), load(rows, 1)
    store(results, 0, select(a < b, a, b))
    store(results, 1, select(a <= 0.5, a, b))
    store(results, 2, select(a > b, a, b))
    store(results, 3, select(a >= b, a, b))
    store(results, 4, select((a > 0.0) & (b > 0.0), a, b))
    store(results, 5, select((a > 0.0) | (b > 0.0), a, b))
    return mask_bits(a < b), mask_bits(a < -1e9)


@njit
def _exponents(rows, results):
    for i in range(rows.shape[0]):
        m, e = split_exponent(load(rows, i))
        store(results, 2 * i, m)
        store(results, 2 * i + 1, e)


@njit
def _copy(rows, results):
    for i in range(rows.shape[0]):
        store(results, i, load(rows, i))


@njit
def _frames(samples, start, hop, results):
    values = load_frames(samples, start, hop)
    for j in range(LANES):
        store(results, j, values[j])


@njit
def _across(samples, start, results):
    value = load_run(samples, start)
    store(results, 0, value)
    return across(value)


@pytest.fixture(scope="module")
def numbers():
    rows = lane_rows(4)
    rows[:] = np.random.default_rng(7).standard_normal((4, LANES))
    rows[2] = [0.5, 0.5, -0.5, 0.0, 1.0, 2.0, -3.0, 4.0]
    return rows


def test_arithmetic_is_numpy_arithmetic(numbers):
    a, b = numbers[:2]
    results = lane_rows(13)
    _arithmetic(numbers, results)
    expected = [a + b, a - b, a * b, a / b, -a, 2.0 - a, a * 3, np.sqrt(np.abs(a)), np.abs(a), np.minimum(a, b), np.maximum(a, b), np.full(8, 7.0)]
    np.testing.assert_array_equal(results[:12], expected)
    np.testing.assert_allclose(results[12], numbers.sum(axis=0), rtol=1e-15)


@pytest.mark.parametrize("equal", [False, True])
def test_comparisons_choose_lane_by_lane(numbers, equal):
    rows = numbers.copy()
    if equal:
        rows[1, ::2] = rows[0, ::2]  # <= and >= differ from < and > only here
    a, b = rows[:2]
    results = lane_rows(6)
    bits, none = _comparisons(rows, results)
    conditions = [a < b, a <= 0.5, a > b, a >= b, (a > 0) & (b > 0), (a > 0) | (b > 0)]
    np.testing.assert_array_equal(results, [np.where(condition, a, b) for condition in conditions])
    assert bits == sum(1 << lane for lane in range(LANES) if a[lane] < b[lane])
    assert none == 0


def test_every_positive_number_is_fraction_times_power_of_two():
    rows = np.geomspace(1e-300, 1e300, 64).reshape(8, LANES)
    rows[0, :4] = [1.0, 2.0, np.sqrt(0.5), np.nextafter(np.sqrt(2.0), 0)]
    results = lane_rows(16)
    _exponents(rows, results)
    fraction, exponent = results[::2], results[1::2]
    np.testing.assert_array_equal(fraction * 2.0**exponent, rows)
    assert fraction.min() >= np.sqrt(0.5)
    assert fraction.max() < np.sqrt(2.0) * (1 + 1e-15)


@pytest.mark.parametrize("source", [np.float32, np.float64])
@pytest.mark.parametrize("target", [np.float32, np.float64])
def test_rows_convert_like_astype(numbers, source, target):
    rows, results = numbers.astype(source), lane_rows(4, target)
    _copy(rows, results)
    np.testing.assert_array_equal(results, rows.astype(np.float64).astype(target))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("start", "hop"), [(0, 1), (3, 8), (5, 13), (11, 0)])
def test_frames_become_lanes(dtype, start, hop):
    samples = np.arange(120, dtype=dtype) ** 2
    results = lane_rows(LANES)
    _frames(samples, start, hop, results)
    expected = [[samples[start + j + hop * frame] for frame in range(LANES)] for j in range(LANES)]
    np.testing.assert_array_equal(results, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_of_samples_and_its_sum(dtype):
    samples, results = np.arange(30, dtype=dtype) ** 2, lane_rows(1)
    assert _across(samples, 5, results) == samples[5:13].sum()
    np.testing.assert_array_equal(results[0], samples[5:13])


def test_rows_begin_on_a_cache_line():
    assert all(lane_rows(n, dtype).ctypes.data % 64 == 0 for n in (1, 3, 1000) for dtype in (np.float32, np.float64))
