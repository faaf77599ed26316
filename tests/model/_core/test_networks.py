import numpy as np
import pytest
import torch
from scvi.nn import FCLayers

from scx.model._core.networks import TransformerLayer, mlp_encoder


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


def test_layers_without_batches_are_a_sequence():
    torch.manual_seed(0)
    network = mlp_encoder(4, (3,), 2)
    x = torch.randn(6, 4)
    torch.testing.assert_close(network(x, torch.zeros(6, dtype=torch.int64)), torch.nn.Sequential(*network)(x))
    assert list(network.state_dict()) == list(torch.nn.Sequential(*network).state_dict())


def test_every_linear_layer_sees_the_batch():
    torch.manual_seed(0)
    network = mlp_encoder(4, (5,), 2, batch_norm=False, n_batches=3).double()
    first, last = (network[i].weight.detach().numpy().T for i in (0, 2))
    x = torch.randn(4, 4, dtype=torch.float64)
    shares = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])
    hidden = np.maximum(x.numpy() @ first[:4] + shares @ first[4:], 0)
    expected = hidden @ last[:5] + shares @ last[5:]
    found = network(x, torch.tensor([0, 2, 1, -1])).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(network(x[3:]).detach().numpy(), expected[3:], rtol=1e-12)


def test_the_batch_is_where_scvi_tools_has_it():
    """So weights of further batches can be added as further columns."""
    torch.manual_seed(0)
    options = {"use_batch_norm": False, "use_activation": False, "dropout_rate": 0}
    theirs = FCLayers(4, 2, n_cat_list=[3], n_layers=1, **options)
    ours = mlp_encoder(4, (), 2, n_batches=3)
    ours[0].load_state_dict(theirs.fc_layers[0][0].state_dict())
    x, batch = torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])
    torch.testing.assert_close(ours(x, batch), theirs(x, batch[:, None]))
