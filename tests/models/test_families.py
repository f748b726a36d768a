"""The families are those of the literature, and every one takes what training gives it."""

import pytest
import torch

from selkd import models
from selkd.models import cost
from selkd.models.resnet import Block as ResidualBlock
from selkd.models.wrn import Block as WideBlock

PUBLISHED = {  # RepDistiller (Tian et al. 2020), 100 outputs
    "resnet8": 83_892,
    "resnet14": 181_108,
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet44": 667_188,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn_16_1": 180_916,
    "wrn_16_2": 703_284,
    "wrn_40_1": 569_780,
    "wrn_40_2": 2_255_156,
}
SMALL_TORCHVISION = ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "swin_t", "googlenet"]


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_parameter_counts_are_the_published_ones(name: str, count: int):
    assert cost.parameters(models.build(name, channels=3, outputs=100, image_size=32)) == count


def test_parameters_carry_the_names_of_published_checkpoints():
    resnet = models.build("resnet20", channels=3, outputs=10, image_size=32).state_dict()
    assert {"conv1.weight", "layer2.0.downsample.1.running_var", "layer3.2.bn2.bias", "fc.weight"} <= set(resnet)
    wide = models.build("wrn_16_2", channels=3, outputs=10, image_size=32).state_dict()
    assert {"block1.layer.0.convShortcut.weight", "block3.layer.1.conv2.weight", "bn1.bias", "fc.bias"} <= set(wide)


def test_a_residual_block_without_its_branch_is_the_shortcut():
    x = torch.rand(2, 4, 5, 5)
    residual, wide = ResidualBlock(4, 4, 1), WideBlock(4, 4, 1, 0.0)
    torch.nn.init.zeros_(residual.bn2.weight)
    torch.nn.init.zeros_(wide.conv2.weight)
    assert torch.equal(residual(x), x)
    assert torch.equal(wide(x), x)


def test_convolutions_start_with_the_variance_of_he():
    weight = models.build("resnet32x4", channels=3, outputs=10, image_size=32).get_parameter("layer3.1.conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("name", ["resnet8", "resnet8x4", "wrn_16_2", "cnn", "mlp"])
@pytest.mark.parametrize("rows", [0, 3])
def test_a_batch_of_any_size_passes_with_gradients(name: str, rows: int):
    network = models.build(name, channels=1, outputs=5, image_size=8)
    logits = network(torch.rand(rows, 1, 8, 8))
    assert logits.shape == (rows, 5)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", SMALL_TORCHVISION)
def test_torchvision_networks_take_any_channels_and_empty_batches(name: str):
    network = models.build(f"torchvision:{name}", channels=2, outputs=5, image_size=32).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 2, 32, 32)).shape == (2, 5)
        assert network(torch.rand(0, 2, 32, 32)).shape == (0, 5)


def test_torchvision_networks_of_three_channels_are_torchvisions_own():
    from torchvision.models import resnet18

    torch.manual_seed(3)
    theirs = resnet18(num_classes=5).state_dict()
    torch.manual_seed(3)
    ours = models.build("torchvision:resnet18", channels=3, outputs=5, image_size=32).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_cnn_of_about_three_thousand_parameters_exists():
    network = models.build("cnn", channels=1, outputs=5, image_size=28, width=7)
    assert 2_700 < cost.parameters(network) < 3_300


@pytest.mark.parametrize("width", [1, 3, 64])
@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("image_size", [8, 28, 33])
def test_a_cnn_works_at_any_width_depth_and_size(width: int, depth: int, image_size: int):
    network = models.build("cnn", channels=3, outputs=4, image_size=image_size, width=width, depth=depth)
    assert network(torch.rand(2, 3, image_size, image_size)).shape == (2, 4)


def test_an_mlp_has_the_hidden_layers_it_is_told():
    network = models.build("mlp", channels=1, outputs=4, image_size=8, hidden=[32, 16])
    assert cost.parameters(network) == (64 * 32 + 32) + (32 * 16 + 16) + (16 * 4 + 4)
    linear = models.build("mlp", channels=1, outputs=4, image_size=8, hidden=[])
    assert cost.parameters(linear) == 64 * 4 + 4


def test_dropout_changes_training_and_not_evaluation():
    network = models.build("cnn", channels=1, outputs=4, image_size=8, dropout=0.5).eval()
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(network(images), network(images))
    for norm in (m for m in network.train().modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.eval()
    assert not torch.equal(network(images), network(images))


def test_a_small_cnn_learns_the_digits():
    from sklearn.datasets import load_digits

    pixels, categories = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    labels = torch.tensor(categories)
    network = models.build("cnn", channels=1, outputs=10, image_size=8, width=8)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(6):
        for rows in torch.randperm(1400).split(100):
            loss = torch.nn.functional.cross_entropy(network(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        answers = network.eval()(images[1400:]).argmax(1)
    assert (answers == labels[1400:]).double().mean() > 0.85
