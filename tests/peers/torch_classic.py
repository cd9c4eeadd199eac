"""The classic networks in PyTorch, as published: the layers and names of torchvision or Caffe.

Nothing here is shared with the networks of reportgen. Those of torchvision have its attributes, so
that a state_dict has its names; those of Caffe have its layers' names, slashes and all.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from tests.peers.classic import drawn


def _vgg(widths: list[int | str], classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*layers),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(
                nn.Linear(25088, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, classes),
            ),
        )
    )


def vgg16(classes: int = 1000) -> nn.Module:
    """torchvision's vgg16."""
    # fmt: off
    widths = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M",
              512, 512, 512, "M"]
    # fmt: on
    return _vgg(widths, classes)


def vgg19(classes: int = 1000) -> nn.Module:
    """torchvision's vgg19."""
    # fmt: off
    widths = [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M",
              512, 512, 512, 512, "M"]
    # fmt: on
    return _vgg(widths, classes)


def alexnet(classes: int = 1000) -> nn.Module:
    """torchvision's alexnet."""
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(9216, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, classes),
    )
    return nn.Sequential(
        OrderedDict(
            features=features,
            avgpool=nn.AdaptiveAvgPool2d((6, 6)),
            flatten=nn.Flatten(),
            classifier=classifier,
        )
    )


def caffenet(classes: int = 1000) -> nn.Module:
    """Caffe's bvlc_reference_caffenet."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 96, 11, stride=4),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
            norm1=nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
            norm2=nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            conv3=nn.Conv2d(256, 384, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
            flatten=nn.Flatten(),
            fc6=nn.Linear(9216, 4096),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(),
            fc8=nn.Linear(4096, classes),
        )
    )


class _Fire(nn.Module):
    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        left = self.expand1x1_activation(self.expand1x1(x))
        right = self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([left, right], dim=1)


def _squeezenet(features: list[nn.Module], classes: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*features),
            classifier=nn.Sequential(
                nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
            ),
            flatten=nn.Flatten(),
        )
    )


def squeezenet1_0(classes: int = 1000) -> nn.Module:
    """torchvision's squeezenet1_0."""
    features = [
        nn.Conv2d(3, 96, 7, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(96, 16, 64),
        _Fire(128, 16, 64),
        _Fire(128, 32, 128),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(256, 32, 128),
        _Fire(256, 48, 192),
        _Fire(384, 48, 192),
        _Fire(384, 64, 256),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(512, 64, 256),
    ]
    return _squeezenet(features, classes)


def squeezenet1_1(classes: int = 1000) -> nn.Module:
    """torchvision's squeezenet1_1."""
    features = [
        nn.Conv2d(3, 64, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(64, 16, 64),
        _Fire(128, 16, 64),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(128, 32, 128),
        _Fire(256, 32, 128),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(256, 48, 192),
        _Fire(384, 48, 192),
        _Fire(384, 64, 256),
        _Fire(512, 64, 256),
    ]
    return _squeezenet(features, classes)


class _BasicConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))


class _InceptionBN(nn.Module):
    def __init__(self, inputs: int, *filters: int) -> None:
        super().__init__()
        f1, f3r, f3, f5r, f5, fp = filters
        self.branch1 = _BasicConv(inputs, f1, kernel_size=1)
        self.branch2 = nn.Sequential(
            _BasicConv(inputs, f3r, kernel_size=1), _BasicConv(f3r, f3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            _BasicConv(inputs, f5r, kernel_size=1), _BasicConv(f5r, f5, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, padding=1, ceil_mode=True), _BasicConv(inputs, fp, kernel_size=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def googlenet_bn(classes: int = 1000) -> nn.Module:
    """torchvision's googlenet without auxiliary classifiers, ``transform_input`` off."""
    return nn.Sequential(
        OrderedDict(
            conv1=_BasicConv(3, 64, kernel_size=7, stride=2, padding=3),
            maxpool1=nn.MaxPool2d(3, 2, ceil_mode=True),
            conv2=_BasicConv(64, 64, kernel_size=1),
            conv3=_BasicConv(64, 192, kernel_size=3, padding=1),
            maxpool2=nn.MaxPool2d(3, 2, ceil_mode=True),
            inception3a=_InceptionBN(192, 64, 96, 128, 16, 32, 32),
            inception3b=_InceptionBN(256, 128, 128, 192, 32, 96, 64),
            maxpool3=nn.MaxPool2d(3, 2, ceil_mode=True),
            inception4a=_InceptionBN(480, 192, 96, 208, 16, 48, 64),
            inception4b=_InceptionBN(512, 160, 112, 224, 24, 64, 64),
            inception4c=_InceptionBN(512, 128, 128, 256, 24, 64, 64),
            inception4d=_InceptionBN(512, 112, 144, 288, 32, 64, 64),
            inception4e=_InceptionBN(528, 256, 160, 320, 32, 128, 128),
            maxpool4=nn.MaxPool2d(2, 2, ceil_mode=True),
            inception5a=_InceptionBN(832, 256, 160, 320, 32, 128, 128),
            inception5b=_InceptionBN(832, 384, 192, 384, 48, 128, 128),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(0.2),
            fc=nn.Linear(1024, classes),
        )
    )


class _Prototxt(nn.Module):
    """A list of Caffe's layers (name, module, bottoms), run in order; the last one's output."""

    def __init__(self) -> None:
        super().__init__()
        self.bottoms: dict[str, list[str]] = {}

    def add(self, name: str, module: nn.Module, *bottoms: str) -> str:
        self.add_module(name, module)
        self.bottoms[name] = list(bottoms)
        return name

    def rectified(self, name: str, conv: nn.Module, bottom: str) -> str:
        block, _, layer = name.partition("/")
        return self.add(f"{block}/relu_{layer}", nn.ReLU(), self.add(name, conv, bottom))

    def inception(self, name: str, bottom: str, inputs: int, *filters: int) -> str:
        f1, f3r, f3, f5r, f5, fp = filters
        one = self.rectified(f"{name}/1x1", nn.Conv2d(inputs, f1, 1), bottom)
        three = self.rectified(f"{name}/3x3_reduce", nn.Conv2d(inputs, f3r, 1), bottom)
        three = self.rectified(f"{name}/3x3", nn.Conv2d(f3r, f3, 3, padding=1), three)
        five = self.rectified(f"{name}/5x5_reduce", nn.Conv2d(inputs, f5r, 1), bottom)
        five = self.rectified(f"{name}/5x5", nn.Conv2d(f5r, f5, 5, padding=2), five)
        pool = self.add(f"{name}/pool", nn.MaxPool2d(3, 1, padding=1, ceil_mode=True), bottom)
        pool = self.rectified(f"{name}/pool_proj", nn.Conv2d(inputs, fp, 1), pool)
        return self.add(f"{name}/output", _Concat(), one, three, five, pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        blobs = {"data": x}
        for name, bottoms in self.bottoms.items():
            x = blobs[name] = self._modules[name](*(blobs[bottom] for bottom in bottoms))
        return x


class _Concat(nn.Module):
    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        return torch.cat(parts, dim=1)


def googlenet(classes: int = 1000) -> nn.Module:
    """Caffe's bvlc_googlenet (deploy.prototxt)."""
    net = _Prototxt()
    norm = {"alpha": 1e-4, "beta": 0.75}
    x = net.rectified("conv1/7x7_s2", nn.Conv2d(3, 64, 7, stride=2, padding=3), "data")
    x = net.add("pool1/3x3_s2", nn.MaxPool2d(3, 2, ceil_mode=True), x)
    x = net.add("pool1/norm1", nn.LocalResponseNorm(5, **norm), x)
    x = net.rectified("conv2/3x3_reduce", nn.Conv2d(64, 64, 1), x)
    x = net.rectified("conv2/3x3", nn.Conv2d(64, 192, 3, padding=1), x)
    x = net.add("conv2/norm2", nn.LocalResponseNorm(5, **norm), x)
    x = net.add("pool2/3x3_s2", nn.MaxPool2d(3, 2, ceil_mode=True), x)
    x = net.inception("inception_3a", x, 192, 64, 96, 128, 16, 32, 32)
    x = net.inception("inception_3b", x, 256, 128, 128, 192, 32, 96, 64)
    x = net.add("pool3/3x3_s2", nn.MaxPool2d(3, 2, ceil_mode=True), x)
    x = net.inception("inception_4a", x, 480, 192, 96, 208, 16, 48, 64)
    x = net.inception("inception_4b", x, 512, 160, 112, 224, 24, 64, 64)
    x = net.inception("inception_4c", x, 512, 128, 128, 256, 24, 64, 64)
    x = net.inception("inception_4d", x, 512, 112, 144, 288, 32, 64, 64)
    x = net.inception("inception_4e", x, 528, 256, 160, 320, 32, 128, 128)
    x = net.add("pool4/3x3_s2", nn.MaxPool2d(3, 2, ceil_mode=True), x)
    x = net.inception("inception_5a", x, 832, 256, 160, 320, 32, 128, 128)
    x = net.inception("inception_5b", x, 832, 384, 192, 384, 48, 128, 128)
    x = net.add("pool5/7x7_s1", nn.AvgPool2d(7, 1), x)
    x = net.add("pool5/flatten", nn.Flatten(), x)
    net.add("loss3/classifier", nn.Linear(1024, classes), x)
    return net


def filled(name: str) -> nn.Module:
    """A network of this file with the weights that ``classic.drawn`` draws for its names."""
    network = globals()[name]()
    for tensor, values in network.state_dict().items():
        if not tensor.endswith("num_batches_tracked"):
            values.copy_(torch.from_numpy(drawn(tensor, tuple(values.shape))))
    return network.eval()


def outputs(
    network: nn.Module, x: Any, modules: list[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and outputs of modules by name, for x (N, H, W, C); maps are (N, H, W, C) too."""
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            kept[name] = output.permute(0, 2, 3, 1) if output.ndim == 4 else output

        return hook

    handles = [network.get_submodule(name).register_forward_hook(keep(name)) for name in modules]
    with torch.no_grad():
        logits = network(torch.as_tensor(x).permute(0, 3, 1, 2).contiguous())
    for handle in handles:
        handle.remove()
    return logits, kept
