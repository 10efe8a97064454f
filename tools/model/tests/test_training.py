"""Training: what is learned from, by which objective, and that a run goes on where it stopped."""

import json

import numpy as np
import pytest
import torch
from training import batches, card, cross_validate, finetune, network, objective, recipe, run, scores, tweets, vocabulary
from training.workspace import Workspace

HAPPY, SAD = "what a lovely sunny day, so happy", "I lost my keys again and it rains, so sad"


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder as `shared/data`, of a few made-up posts."""
    folder = tmp_path_factory.mktemp("data")
    for part in ["semeval2018-ec", "pretrain"]:
        (folder / part).mkdir()
    header = "\t".join(["ID", "Tweet", *tweets.LABELS])

    def rows(count, first):
        lines = [header]
        for index in range(first, first + count):
            happy = index % 2 == 0
            given = ["1" if label == ("joy" if happy else "sadness") else "0" for label in tweets.LABELS]
            lines.append("\t".join([f"id-{index}", f"{HAPPY if happy else SAD} {index} 😂", *given]))
        return "\n".join(lines) + "\n"

    (folder / "semeval2018-ec" / "train.txt").write_text(rows(24, 0))
    (folder / "semeval2018-ec" / "dev.txt").write_text(rows(12, 24))
    sentiment = [f"{'positive' if index % 2 else 'negative'}\tthe bus\\u002c number {index}" for index in range(40)]
    # One of the labelled posts, written otherwise.
    sentiment.append(f"positive\t@someone {HAPPY.upper()} 2 😂")
    (folder / "pretrain" / "sentiment.tsv").write_text("\n".join(["sentiment\ttweet", *sentiment]) + "\n")
    emoji = [f"{index % 20}\tlunch number {index}" for index in range(40)]
    (folder / "pretrain" / "emoji.tsv").write_text("\n".join(["emoji\ttweet", *emoji]) + "\n")
    intensity = [f"joy\t0.{index}\t1\t{HAPPY} {index} 😂" for index in range(2, 8, 2)]
    (folder / "pretrain" / "intensity.tsv").write_text("\n".join(["dimension\tscore\tclass\ttweet", *intensity]) + "\n")
    return folder


@pytest.fixture(scope="session")
def workspace(data, tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("work"), data)


def test_a_tweet_is_known_again_however_it_is_written():
    assert tweets.key("@Bob Caf\u00e9 &amp; cake!\\n#Yum") == tweets.key("caf\u00e9 cake yum")
    assert tweets.key("happy") != tweets.key("unhappy")


def test_what_is_judged_by_is_not_learned_from_before(workspace):
    assert len(workspace.sentiment[0]) == 40
    assert workspace.sentiment[0][3] == "the bus, number 3"


def test_another_column_is_refused(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("ID\tTweet\tanger\tboredom\n")
    with pytest.raises(SystemExit, match="boredom"):
        tweets.emotions(path)


def test_intensity_is_of_the_same_tweet_and_else_not_known(workspace):
    known = recipe.lesson(workspace, np.arange(6), intensity=True).intensity
    joy = tweets.DIMENSIONS.index("joy")
    assert known[:, joy].tolist() == pytest.approx([np.nan, np.nan, 0.2, np.nan, 0.4, np.nan], nan_ok=True)
    assert np.isnan(np.delete(known, joy, axis=1)).all()
    assert np.isnan(recipe.lesson(workspace, np.arange(6), intensity=False).intensity).all()


def test_tweets_become_the_same_tokens_however_they_are_written(workspace):
    def tokens(text):
        return workspace.tokenizer.encode(text, add_special_tokens=False).tokens

    assert tokens("@anna_1 see https://example.org/a?b=c") == ["@", "user", "see", "http"]
    assert tokens("salt &amp; pepper\\nnow") == ["salt", "&", "pepper", "now"]
    assert tokens("so 😂") == ["so", "😂"]
    assert tokens("\u2018tis") == tokens("'tis")
    # A thumb of any colour is one thumb.
    assert vocabulary.build(network.ENCODER, ["\U0001f44d"]).encode("\U0001f44d\U0001f3fd", add_special_tokens=False).tokens == [
        "\U0001f44d"
    ]


def test_emoji_are_signs_that_tweets_hold_often():
    found = vocabulary.frequent_emoji(["😂😂 a", "😂 ⠀", "😂 ⠀", "🔥", "é £ a"], least=2)
    assert found == ["😂"]


def test_each_text_is_in_one_batch(workspace):
    encoded = workspace.encode([f"{'very ' * (index % 17)}good {index}" for index in range(100)])
    for made in [list(encoded.shuffled(8, np.random.default_rng(0))), list(encoded.in_order(64))]:
        assert sorted(row for batch in made for row in batch.rows) == list(range(100))
        for batch in made:
            assert batch.attention_mask.sum(1).tolist() == encoded.lengths[batch.rows].tolist()
    assert len(list(encoded.shuffled(8, np.random.default_rng(0)))) == encoded.steps(8)
    assert all(batch.input_ids.numel() <= 64 or len(batch.rows) == 1 for batch in encoded.in_order(64))


def test_the_objective_is_the_published_one():
    posts = torch.nn.functional.normalize(torch.tensor([[1.0, 2.0]]), dim=-1)
    emotions = torch.nn.functional.normalize(torch.tensor([[2.0, 1.0], [-1.0, 1.0]]), dim=-1)
    cosines = np.array([4 / 5, 1 / np.sqrt(10)]) / 0.05
    expected = np.log1p(np.exp(-cosines[0])) + np.log1p(np.exp(cosines[1]))
    assert objective.similarity(posts, emotions, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(expected, rel=1e-4)

    logits, labels = torch.tensor([[0.4, -1.0]]), torch.tensor([[1.0, 0.0]])
    score = 1 / (1 + np.exp([-0.4, 1.0]))
    shifted = score[1] - 0.05
    expected = -(1 - score[0]) * np.log(score[0]) - shifted**3 * np.log(1 - shifted)
    assert objective.asymmetric(logits, labels).item() == pytest.approx(expected, rel=1e-4)
    # A negative below the clipping constant is no loss.
    assert objective.asymmetric(torch.tensor([[-4.0]]), torch.tensor([[0.0]])).item() == pytest.approx(0, abs=1e-5)


def test_figures_are_those_of_the_definitions():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], float)
    found = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.1], [0.5, 0.8, 0.1], [0.1, 0.1, 0.1]])
    assert scores.f1(labels, (found >= 0.5).astype(float)).tolist() == pytest.approx([0.5, 0.8, 0.0])
    assert scores.macro_f1(labels, found) == pytest.approx(1.3 / 3)
    assert scores.micro_f1(labels, found) == pytest.approx(2 * 3 / (4 + 5))


def test_a_threshold_is_where_it_parts_the_labels():
    random = np.random.default_rng(0)
    labels = (random.random((400, 1)) < 0.3).astype(float)
    found = np.where(labels == 1, random.uniform(0.35, 0.6, labels.shape), random.uniform(0.0, 0.33, labels.shape))
    assert 0.33 <= scores.best_thresholds(labels, found)[0] <= 0.36


def test_folds_judge_each_tweet_once():
    parts = cross_validate.folds(100)
    assert sorted(np.concatenate([held_out for _, held_out in parts])) == list(range(100))
    assert all(set(seen).isdisjoint(held_out) and len(seen) + len(held_out) == 100 for seen, held_out in parts)


def test_a_run_trains_a_student_and_goes_on_where_it_stopped(workspace, monkeypatch):
    monkeypatch.setattr(recipe, "TEACHER_EPOCHS", 1)
    monkeypatch.setattr(recipe, "UNLABELLED", 16)
    monkeypatch.setattr(recipe, "STUDENT_REPEATS", 2)
    job = recipe.Job("final", np.arange(24))
    model = recipe.student(workspace, job)
    first = network.probabilities(model, workspace.encode([HAPPY, SAD]))
    with torch.no_grad():
        (alone,) = workspace.encode([SAD]).in_order()
        _, logits = model(alone.input_ids, alone.attention_mask)
    assert torch.allclose(first[1], logits[0].sigmoid(), atol=0.02)
    for stage in ["pretrained", "final/teacher-0", "final/teacher-1", "final/student-0"]:
        assert (workspace.folder / stage / "model.safetensors").is_file()
    stages = [entry["stage"] for entry in workspace.journal.entries()]

    def fails(*_):
        raise AssertionError("it is there already")

    monkeypatch.setattr(finetune, "finetune", fails)
    monkeypatch.setattr(recipe, "finetune", fails)
    again = network.probabilities(recipe.student(Workspace(workspace.folder, workspace.data), job), workspace.encode([HAPPY, SAD]))
    assert torch.equal(first, again)
    assert [entry["stage"] for entry in workspace.journal.entries()] == stages
    # A stage that was stopped is made anew.
    (workspace.folder / "final" / "student-0").rename(workspace.folder / "final" / "student-0.partial")
    with pytest.raises(AssertionError, match="already"):
        recipe.student(workspace, job)


def test_a_checkpoint_says_all_that_its_bundle_needs(workspace):
    folder = workspace.folder / "saved"
    model = network.fresh(workspace.tokenizer)
    model.config.thresholds = [0.4] * 11
    workspace.save(model, folder)
    config = json.loads((folder / "config.json").read_text())
    assert list(config["id2label"].values()) == tweets.LABELS
    assert config["thresholds"] == [0.4] * 11
    assert config["encoder"]["max_position_embeddings"] == batches.MAX_LENGTH
    assert json.loads((folder / "tokenizer.json").read_text())["truncation"] is None


def test_what_is_done_is_not_run_again(workspace, monkeypatch):
    job = recipe.Job("done", np.arange(3))
    (workspace.folder / job.folder("teacher")).mkdir(parents=True)
    monkeypatch.setattr(run, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("a process was begun"))
    run.run(workspace.folder, workspace.data, [("teacher", job)])


def test_the_card_holds_the_figures_of_the_run(tmp_path):
    labels = np.zeros((40, 11), np.float32)
    labels[:20] = 1
    found = np.where(labels == 1, 0.6, 0.1).astype(np.float32)
    found[:5] = 0.4
    # A threshold of 0.5 misses five posts of twenty; one of 0.3 misses none.
    judged = cross_validate.Judged(found, np.full(11, 0.3), [0.5, 0.7], [0.75, 0.85], [0.6], np.full(11, 0.5))
    card.write(tmp_path, judged, labels, found)
    metrics = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert metrics["cross_validated_macro_f1"] == 0.8 and metrics["cross_validated_macro_f1_at_half"] == 0.6
    assert metrics["dev_macro_f1"] == 1.0 and metrics["dev_macro_f1_at_half"] == pytest.approx(30 / 35, abs=1e-4)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "macro-F1 1.000 and micro-F1 1.000" in text and "0.8000 (0.7500–0.8500)" in text
    assert "@table@" not in text and "_macro@" not in text
