import numpy as np
import pytest
import torch

from scx.model._core.networks import TransformerLayer


def layer_norm(x):
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("n_heads", [1, 2, 4])
def test_layer_with_attention_among_cells_is_equations_3_to_7(n_heads):
    """Also where the width, 6, is no multiple of the number of heads."""
    torch.manual_seed(0)
    layer = TransformerLayer(6, n_heads, 8, "batch").double()
    x = torch.randn(5, 6, dtype=torch.float64)
    weights = {name: p.detach().numpy().T for name, p in layer.named_parameters()}
    d = -(-6 // n_heads)
    heads = []
    for i in range(n_heads):
        columns = slice(i * d, (i + 1) * d)
        q, k, v = (x.numpy() @ weights[f"attend.{name}.weight"][:, columns] for name in ("queries", "keys", "values"))
        scores = np.exp(q @ k.T / np.sqrt(d))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v)
    residual = layer_norm(x.numpy() + np.concatenate(heads, axis=1) @ weights["attend.output.weight"])
    hidden = np.maximum(residual @ weights["forward_network.0.weight"], 0)
    expected = layer_norm(hidden @ weights["forward_network.2.weight"] + residual)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-8, atol=1e-8)


def test_attention_of_one_cell_is_that_of_a_batch_of_one():
    torch.manual_seed(0)
    among, own = TransformerLayer(6, 2, 8, "batch"), TransformerLayer(6, 2, 8, "cell")
    own.load_state_dict(among.state_dict(), strict=False)
    x = torch.randn(4, 6)
    torch.testing.assert_close(own(x), torch.cat([among(row[None]) for row in x]))
