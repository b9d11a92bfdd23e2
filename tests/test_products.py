"""The packed product and its plain twin."""

import pytest
import torch

import products


def packed_or_skip(matrix, rows, gain):
    try:
        return products.PackedMatrix(matrix, rows, gain)
    except (AttributeError, RuntimeError) as error:
        pytest.skip(f"this torch has no packed linear layer: {error}")


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("c_shape", [(160,), (20, 160)])
def test_packed_equals_plain(c_shape, transposed):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 192, generator=generator)
    matrix = torch.randn(192, 160, generator=generator)
    if transposed:
        matrix = matrix.t().contiguous().t()
    c = torch.randn(c_shape, generator=generator)
    with torch.no_grad():
        packed = packed_or_skip(matrix, 20, 4.0)
        fast = products.add_product(c, x, packed, gain=4.0)
        plain = products.add_product(c, x, matrix, gain=4.0)
    exact = c.double() + 4 * x.double() @ matrix.double()
    for result in (fast, plain):
        assert result.shape == exact.shape
        assert (result - exact).abs().max() / exact.abs().max() < 1e-5


def test_nothing_is_packed_where_it_could_not_work(monkeypatch):
    monkeypatch.setattr(products, "packing_pays", lambda *_: True)
    matrix = torch.zeros(200, 200)
    assert products.prepare(matrix, 20, 1.0) is matrix  # a graph may be recorded
    with torch.no_grad():
        double = matrix.double()
        assert products.prepare(double, 20, 1.0) is double


def test_packing_is_left_out_when_slower_or_missing(monkeypatch):
    times = iter([1.0, 0.0, 1.2])  # packed, packing, plain: a gain too small to trust
    monkeypatch.setattr(products, "shortest", lambda function: next(times))
    assert not products.packing_pays.__wrapped__(20, 512, 512, 1)
    times = iter([1.0, 0.0, 3.0])
    assert products.packing_pays.__wrapped__(20, 512, 512, 1)

    def missing(*_):
        raise AttributeError("no such call")

    monkeypatch.setattr(products, "PackedMatrix", missing)
    assert not products.packing_pays.__wrapped__(20, 512, 512, 1)


def test_a_network_gives_the_same_states_with_packed_matrices(monkeypatch):
    from netClasses import EPcont

    net = EPcont([10, 160, 144, 64], dt=0.2)
    data = torch.rand(20, 64)

    def run():
        with torch.no_grad():
            drive = net.drive(data)
            return drive, net(drive, net.initHidden(drive), 20)

    packed_or_skip(torch.zeros(160, 144), 20, 1.0)
    monkeypatch.setattr(products, "packing_pays", lambda *_: True)
    drive, fast = run()
    assert any(
        isinstance(matrix, products.PackedMatrix) for links in drive.links for _, matrix in links
    )
    monkeypatch.setattr(products, "packing_pays", lambda *_: False)
    _, plain = run()
    for a, b in zip(fast, plain, strict=True):
        assert (a - b).abs().max() < 1e-5
