"""What pictures cost: by model and size class, by tokens, and how that is written."""

from __future__ import annotations

import re
from typing import Any

import pytest

from imagery.contracts import ImageSize, JobOptions
from imagery.environment import SettingsError, read
from imagery.old_settings import complaint, renamed
from imagery.prices import PictureOrder, Prices, size_class
from imagery.settings import Settings
from local.nano_banana_models import MODELS

PRO, BANANA = "gemini-3-pro-image", "gemini-nano-banana-2.1"
TABLE = f"{PRO}:1K=0.134,2K=0.134,4K=0.24;{BANANA}:1K=0.0336,2K=0.0504,4K=0.113"
TOKENS = f"{PRO}:1K=0.134,input_tokens=2,output_tokens=12,image_tokens=120"


def prices(words: str = "", model: str = BANANA) -> Prices:
    return read(Settings, {"NANO_BANANA_PRICES": words, "NANO_BANANA_MODEL": model}).nano_banana.price_table


def order(size: ImageSize = ImageSize.K1, model: str = PRO) -> PictureOrder:
    return PictureOrder("gemini_api", model, size)


def test_without_a_table_every_picture_has_the_contract_price() -> None:
    assert {prices().of_order(size) for size in ImageSize} == {80_000}
    assert prices("contract_usd=0.05").of_options(JobOptions()) == 50_000


def test_a_picture_costs_what_its_model_and_size_cost() -> None:
    table = prices(f"models={TABLE}")
    assert [table.of_order(size) for size in ImageSize] == [33_600, 50_400, 113_000]
    assert [table.of_order(size, PRO) for size in ImageSize] == [134_000, 134_000, 240_000]
    assert table.of_order(ImageSize.K1, "another") == 80_000
    assert prices(f"models={BANANA}:1K=0.0336 contract_usd=0.1").of_order(ImageSize.K4) == 100_000


def test_what_came_costs_by_its_own_size_and_model() -> None:
    table = prices(f"models={TABLE}")
    assert table.of_answer(order(ImageSize.K4), PRO, ImageSize.K1, {}) == 134_000
    assert table.of_answer(order(model=BANANA), PRO, ImageSize.K4, {}) == 240_000
    assert table.of_answer(order(), f"{PRO}-002", ImageSize.K4, {}) == 240_000, "an unknown version"


@pytest.mark.parametrize(
    ("usage", "micro"),
    [
        ({"promptTokenCount": 1000, "candidatesTokenCount": 1120}, 2_000 + 134_400),
        ({"promptTokenCount": 0, "candidatesTokenCount": 1120, "thoughtsTokenCount": 100}, 134_400 + 1_200),
        (
            {
                "candidatesTokenCount": 1130,
                "candidatesTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 10},
                    {"modality": "IMAGE", "tokenCount": 1120},
                ],
            },
            134_400 + 120,
        ),
        # nothing that can be counted: the price of the size
        ({}, 134_000),
        ({"promptTokenCount": 258}, 134_000),
        ({"candidatesTokenCount": "many"}, 134_000),
        ({"candidatesTokenCount": True}, 134_000),
        ({"candidatesTokenCount": -5}, 134_000),
        ({"candidatesTokenCount": 10**400}, 134_000),
        ({"candidatesTokenCount": 9, "candidatesTokensDetails": [{"modality": "IMAGE"}]}, 134_000),
    ],
)
def test_where_tokens_have_prices_they_count(usage: dict[str, Any], micro: int) -> None:
    table = prices(f"models={TOKENS}")
    assert table.of_answer(order(), PRO, ImageSize.K1, usage) == micro


def test_an_answer_without_a_picture_costs_only_where_the_provider_says_so() -> None:
    usage = {"promptTokenCount": 1000, "thoughtsTokenCount": 100}
    assert prices(f"models={TOKENS}").of_refusal(order(), PRO, usage) == 0
    assert prices(f"refusals=true models={TOKENS}").of_refusal(order(), PRO, usage) == 2_000 + 1_200
    assert prices("refusals=true").of_refusal(order(), PRO, usage) == 80_000


@pytest.mark.parametrize("size", ImageSize)
@pytest.mark.parametrize("model", MODELS)
def test_a_delivered_picture_has_the_size_class_of_its_area(model: str, size: ImageSize) -> None:
    for ratio in MODELS[model].ratios:
        assert size_class(*MODELS[model].pixels(ratio, size)) is size, ratio


def test_sizes_between_two_classes_go_to_the_nearer_one() -> None:
    given = [(1376, 768), (2752, 1536), (512, 512), (1400, 1400), (1500, 1500), (9000, 9000), (0, 0)]
    assert [size_class(*each).value for each in given] == ["1K", "2K", "1K", "1K", "2K", "4K", "1K"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("models=0.08", "NANO_BANANA_PRICES: models: write MODEL:1K=USD,2K=USD instead of '0.08'"),
        ("models=m:8K=1", "models: m has no price of '8K': it takes 1K, 2K, 4K, input_tokens, "),
        ("models=m:1K=much", "models: the price of m 1K is not a number of USD from 0 to 1000"),
        ("models=m:1K=NaN", "models: the price of m 1K is not a number of USD"),
        ("models=m:1K=-1", "models: the price of m 1K is not a number of USD"),
        ("models=m:1K=0.0000001", "models: the price of m 1K has more than six decimals"),
        ("models=m:1K=1,1K=2", "models: m has two prices of 1K"),
        ("models=m:1K=1;m:2K=2", "models: the model 'm' is named twice"),
        ("contract_usd=-1", "NANO_BANANA_PRICES: contract_usd: Input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_price_is_named_with_the_way_out(words: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        prices(words)


def test_the_old_name_of_the_contract_price_still_works_with_a_warning() -> None:
    old = {"NANO_BANANA_PRICE_USD": "0.05"}
    assert read(Settings, renamed(old)).nano_banana.price_table.contract_micro_usd == 50_000
    assert 'NANO_BANANA_PRICE_USD is now NANO_BANANA_PRICES="contract_usd=..."' in str(complaint(old))
