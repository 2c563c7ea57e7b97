"""Positions of patches on the tile: fixed sin-cos tables and rotary angles."""

import torch
from torch import Tensor


def sincos_table(width: int, grid: int) -> Tensor:
    """Sin-cos positions (1, 1 + grid^2, width), float32; row 0 (class token) is zero.

    A patch at row r and column c gets [sin rw, cos rw, sin cw, cos cw], w_k = 10000^(-k / (width/4)), patches
    row by row. Source: the release's encoder and decoder (He et al., MAE).
    """
    quarter = width // 4
    frequency = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64, device="cpu") / quarter)
    angle = torch.arange(grid, dtype=torch.float64, device="cpu")[:, None] * frequency
    edge = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = edge[:, None, :].expand(grid, grid, -1)
    columns = edge[None, :, :].expand(grid, grid, -1)
    table = torch.cat([rows, columns], dim=2).reshape(grid * grid, width)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64, device="cpu"), table])[None].float()


def rope_magnitudes(head_dim: int, base: float = 10.0, device: torch.device | str | None = None) -> Tensor:
    """Frequencies base^(-4j / head_dim), j < head_dim / 4, float32 (head_dim / 4,); 10 is the release's base."""
    return base ** (-4.0 * torch.arange(head_dim // 4, device=device) / head_dim)


def mixed_frequencies(
    heads: int, head_dim: int, generator: torch.Generator | None = None, base: float = 10.0
) -> Tensor:
    """Initial learnt frequencies (2, 1, heads * head_dim / 2): x then y, each head rotated by a random angle."""
    magnitude = rope_magnitudes(head_dim, base, "cpu")
    turn = torch.rand(heads, 1, generator=generator, device="cpu") * 2 * torch.pi
    quarter = turn + torch.pi / 2
    x = torch.cat([magnitude * turn.cos(), magnitude * quarter.cos()], dim=1)
    y = torch.cat([magnitude * turn.sin(), magnitude * quarter.sin()], dim=1)
    return torch.stack([x, y]).reshape(2, 1, -1)


def token_places(grid: int, positions: Tensor | None, channels: int, device: torch.device) -> Tensor:
    """Column and row (B or 1, 1 + C K, 2) float32 of a sequence's tokens: class token, then channel by channel.

    `positions` (B, 1 or C, K) int64 are the patches present, None for all. The class token is at the origin, where
    the rotation is zero.
    """
    if positions is None:
        present = torch.arange(grid * grid, device=device).repeat(channels)[None]
    else:
        present = positions.expand(-1, channels, -1).flatten(1)
    places = torch.stack([present % grid, present // grid], dim=-1).float()
    return torch.cat([places.new_zeros(len(places), 1, 2), places], dim=1)


def axial_frequencies(head_dim: int, base: float, device: torch.device) -> Tensor:
    """Rotary frequencies (2, 1, head_dim / 2): the first half rotates with the column, the second with the row."""
    magnitude = rope_magnitudes(head_dim, base, device)
    nothing = torch.zeros_like(magnitude)
    return torch.stack([torch.cat([magnitude, nothing]), torch.cat([nothing, magnitude])])[:, None]


def rotary_tables(frequencies: Tensor, places: Tensor, form: str) -> tuple[Tensor, Tensor | None]:
    """Cosines and sines (B or 1, heads or 1, T, head_dim / 2) of the rotation angles of tokens.

    `frequencies` (2, heads or 1, head_dim / 2) for columns and rows, `places` (B or 1, T, 2). The `cosine`
    form has no sines: it scales queries and keys by the cosine instead of rotating them, as the released code does.
    Angles are computed for each token: gathering them from a table of patches would make the gradient of learnt
    frequencies a scatter that adds hundreds of values to each entry.
    """
    columns, rows = frequencies.float()[:, None, :, None].unbind(0)
    angles = places[:, None, :, :1] * columns + places[:, None, :, 1:] * rows
    return angles.cos(), None if form == "cosine" else angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor | None) -> Tensor:
    """Rotate adjacent feature pairs of `x` (..., heads, T, head_dim) by the tables' angles (without sines: scale)."""
    pairs = x.unflatten(-1, (-1, 2))
    cosine = cosine.to(x.dtype)
    if sine is None:
        return (pairs * cosine[..., None]).flatten(-2)
    sine = sine.to(x.dtype)
    if x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling():
        # One complex product reads and writes memory once; compilers fuse the real form below, an eager CPU does not.
        return torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cosine, sine)).flatten(-2)
    first, second = pairs.unbind(-1)
    return torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1).flatten(-2)
