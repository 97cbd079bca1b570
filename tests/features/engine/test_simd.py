"""Tests of every intrinsic against NumPy, on the same eight numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from quintet.features.engine.kernels.lanes import LANES, lane_rows
from quintet.features.engine.kernels.simd import (
    absolute,
    across,
    across_largest,
    floor,
    load,
    load_frames,
    load_run,
    mask_bits,
    maximum,
    minimum,
    narrow,
    select,
    splat,
    split_exponent,
    sqrt,
    store,
    store_every_other,
    wide,
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
    store(results, 11, floor(a))
    total = a - a
    for i in range(rows.shape[0]):
        total += load(rows, i)
    store(results, 12, total)


@njit
def _splats(doubles, singles):
    store(doubles, 0, splat(7))
    store(doubles, 1, splat(0.1))
    store(singles, 0, splat(np.float32(0.1)))
    store(singles, 1, narrow(wide(load(singles, 0)) * wide(load(singles, 0)) - 0.01))
    store(doubles, 2, wide(load(singles, 0)))


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
def _every_other(rows, results):
    store_every_other(results, 0, 0, load(rows, 0))
    store_every_other(results, 0, 4, load(rows, 1))
    store_every_other(results, 1, 2, load(rows, 2))


@njit
def _frames(samples, start, hop, results):
    values = load_frames(samples, start, hop, results)
    for j in range(LANES):
        store(results, j, values[j])


@njit
def _across(samples, start, results):
    value = load_run(samples, start)
    store(results, 0, value)
    return across(value), across_largest(value)


@pytest.fixture(scope="module", params=[np.float64, np.float32])
def numbers(request):
    rows = lane_rows(4, request.param)
    rows[:] = np.random.default_rng(7).standard_normal((4, LANES))
    rows[2] = [0.5, 0.5, -0.5, 0.0, 1.0, 2.0, -3.0, 4.0]
    return rows


def test_arithmetic_is_numpy_arithmetic(numbers):
    a, b = numbers[:2]
    results = lane_rows(13, numbers.dtype)
    _arithmetic(numbers, results)
    expected = [
        a + b,
        a - b,
        a * b,
        a / b,
        -a,
        2 - a,
        a * 3,
        np.sqrt(np.abs(a)),
        np.abs(a),
        np.minimum(a, b),
        np.maximum(a, b),
        np.floor(a),
    ]
    np.testing.assert_array_equal(results[:12], expected)
    np.testing.assert_allclose(results[12], numbers.sum(axis=0), rtol=8 * np.finfo(numbers.dtype).eps)


def test_splat_wide_and_narrow_convert_numbers():
    doubles, singles = lane_rows(3), lane_rows(2, np.float32)
    _splats(doubles, singles)
    tenth = np.float64(np.float32(0.1))
    np.testing.assert_array_equal(doubles, np.repeat([[7.0], [0.1], [tenth]], LANES, axis=1))
    np.testing.assert_array_equal(
        singles, np.repeat(np.float32([[0.1], [tenth * tenth - 0.01]]), LANES, axis=1)
    )


@pytest.mark.parametrize("equal", [False, True])
def test_comparisons_choose_lane_by_lane(numbers, equal):
    rows = numbers.copy()
    if equal:
        rows[1, ::2] = rows[0, ::2]  # <= and >= differ from < and > only here
    a, b = rows[:2]
    results = lane_rows(6, numbers.dtype)
    bits, none = _comparisons(rows, results)
    conditions = [a < b, a <= 0.5, a > b, a >= b, (a > 0) & (b > 0), (a > 0) | (b > 0)]
    np.testing.assert_array_equal(results, [np.where(condition, a, b) for condition in conditions])
    assert bits == sum(1 << lane for lane in range(LANES) if a[lane] < b[lane])
    assert none == 0


@pytest.mark.parametrize(("dtype", "largest"), [(np.float64, 1e300), (np.float32, 1e37)])
def test_split_exponent_gives_fraction_and_power_of_two(dtype, largest):
    rows = np.geomspace(1 / largest, largest, 64).astype(dtype).reshape(8, LANES)
    rows[0, :3] = [1.0, 2.0, np.nextafter(np.sqrt(dtype(2)), dtype(0))]
    results = lane_rows(16, dtype)
    _exponents(rows, results)
    fraction, exponent = results[::2].astype(np.float64), results[1::2].astype(np.float64)
    np.testing.assert_array_equal(fraction * 2.0**exponent, rows)
    assert fraction.min() >= np.sqrt(0.5) * (1 - np.finfo(dtype).eps)
    assert fraction.max() < np.sqrt(2.0) * (1 + np.finfo(dtype).eps)


@pytest.mark.parametrize("source", [np.float32, np.float64])
@pytest.mark.parametrize("target", [np.float32, np.float64])
def test_rows_convert_like_astype(numbers, source, target):
    rows, results = numbers.astype(source), lane_rows(4, target)
    _copy(rows, results)
    np.testing.assert_array_equal(results, rows.astype(np.float64).astype(target))


def test_every_other_lane_goes_into_half_a_row(numbers):
    results = lane_rows(2, numbers.dtype)
    results[:] = 7
    _every_other(numbers, results)
    np.testing.assert_array_equal(results[0], [*numbers[0, ::2], *numbers[1, ::2]])
    np.testing.assert_array_equal(results[1], [7, 7, *numbers[2, ::2], 7, 7])


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
    assert _across(samples, 5, results) == (samples[5:13].sum(), samples[5:13].max())
    np.testing.assert_array_equal(results[0], samples[5:13])


def test_rows_begin_on_a_cache_line():
    assert all(
        lane_rows(n, dtype).ctypes.data % 64 == 0 for n in (1, 3, 1000) for dtype in (np.float32, np.float64)
    )
