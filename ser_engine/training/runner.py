"""The one loop of all experiments: folds, resuming, timing, calibration, metrics, audit, record and model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ser_engine.data.splits import Fold
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation import corpus_probe
from ser_engine.evaluation.corpus_probe import probe_corpora
from ser_engine.evaluation.evaluate import fold_entries, measure_external, overall_temperature
from ser_engine.evaluation.predictions import Outputs, Predictions, write_predictions
from ser_engine.evaluation.record import HISTORY, RunRecord
from ser_engine.io import atomic_write, write_json
from ser_engine.models import trained_on
from ser_engine.settings import Settings, available_cores
from ser_engine.training.clips import Rows, load_clips
from ser_engine.training.config import ExperimentConfig, config_entries, config_name, load_config
from ser_engine.training.state import RunState, is_main_process
from ser_engine.training.system import PIPELINE, Prepared, System, Task, Workspace, digest
from ser_engine.training.systems import system_class

NO_ROWS: Rows = np.zeros(0, int)


def run_experiment(
    path: Path, protocol: str, settings: Settings, changes: Mapping[str, Any] | None = None, folds: int = 0
) -> RunRecord:
    """Train and measure what the TOML at `path` describes, under one of its protocols (the first by default).

    `changes` replace entries of the file, which the record says. With `folds`, only the first so many are trained and
    tested, no model is saved, and a later call goes on with the others.

    Reads the corpora of `settings.data`, and writes <source>/<system>/<protocol>/{run.json, folds.json,
    predictions.npz, history.jsonl} in `settings.results` and, if the configuration says `save`, <id> in
    `settings.models_dir`. A run that was stopped resumes where it was.
    Raise CorpusError, InvalidSettings or WeightsUnavailable if corpora, entries or initial weights are missing.
    """
    config = load_config(path, protocol, changes)
    run = prepare_run(path, config.protocol, settings, _with_note(config, changes or {}))
    if partial := 0 < folds < len(run.folds):
        only = f"Only the first {folds} of {len(run.folds)} folds."
        run.system.config = replace(run.system.config, note=f"{only} {run.system.config.note}".strip())
        run = replace(run, folds=run.folds[:folds])
    predictions = run.predictions(run.cross_validate())
    record = run.measure(predictions)
    system, config = run.system, run.system.config
    external = () if partial else getattr(config, "external", ())
    if (config.save and not partial) or external:
        task = system.final_task(run.prepared.clips, run.folds, run.state)
        with run.state.timed(task.name):
            fitted = system.fit(run.prepared, task)
        temperature = overall_temperature(predictions) if len(run.folds) > 1 and not system.calibrated else 1.0
        if external:
            below = float(record.calibration["threshold"]["below"])
            record = replace(record, external=_measure_external(run, fitted, external, temperature, below))
        if config.save:
            _save_model(run, fitted, record, temperature)
    folder = record.write(settings.results)
    if record.kind == "emotion":  # a written sentence has several labels, and no speaker
        write_json(folder / "folds.json", fold_entries(predictions, {fold.name: len(fold.train) for fold in run.folds}))
        write_predictions(folder, predictions)
    if files := run.state.history_files():
        with atomic_write(folder / HISTORY) as part:
            part.write_bytes(b"".join(file.read_bytes() for file in files))
    if not partial:
        run.state.finish()
    return record


def _with_note(config: ExperimentConfig, changes: Mapping[str, Any]) -> ExperimentConfig:
    """Return the configuration with a note that names the changed entries."""
    changed = ", ".join(f"{name} = {value}" for name, value in changes.items())
    return replace(config, note=f"Run with {changed}. {config.note}".strip()) if changed else config


@dataclass(frozen=True)
class Run:
    """An experiment whose features are computed: its system, folds and state on disk."""

    id: str
    system: System[Any, Any, Any]
    prepared: Prepared[Any]
    folds: list[Fold]
    state: RunState

    def cross_validate(self, only: Collection[str] | None = None) -> list[Outputs]:
        """Return the outputs of each fold, or of those named `only`; finished folds are not computed again."""
        outputs = []
        for number, fold in enumerate(tqdm(self.folds, desc=self.id)):
            if only is not None and fold.name not in only:
                continue
            done = self.state.outputs(number)
            if done is None:
                with self.state.timed(fold.name):
                    fitted = self.system.fit(self.prepared, Task.of(fold, number, self.state))
                    done = self.system.predict(fitted, self.prepared, fold.test)
                if number == 0 and (size := self.system.size(fitted)):
                    self.state.save_size(size)
                done |= self._probe(fitted, fold)
                self.state.save_outputs(number, done)
            outputs.append(done)
        return outputs

    def _probe(self, fitted: Any, fold: Fold) -> Outputs:
        """Return which corpora a probe takes the tested clips for, from each embedding that the system has."""
        corpora = np.array([utterance.corpus for utterance in self.prepared.clips.utterances])
        auxiliary = list(getattr(self.system.config, "auxiliary", ()))  # which are not measured
        rows = fold.train[~np.isin(corpora[fold.train], auxiliary)]
        if len(np.unique(corpora[rows])) < 2 or not set(corpora[fold.test]) <= set(corpora[rows]):
            return {}
        rows = np.random.default_rng(self.system.config.seed).permutation(rows)[: corpus_probe.CLIPS]
        known = self.system.embed(fitted, self.prepared, rows)
        tested = self.system.embed(fitted, self.prepared, fold.test) if known else {}
        return {
            corpus_probe.PREFIX + name: probe_corpora(known[name], corpora[rows], tested[name], corpora[fold.test])
            for name in known
        }

    def predictions(self, outputs: Sequence[Outputs], only: Collection[str] | None = None) -> Predictions:
        """Return the outputs of the folds, or of those named `only`, as predictions of their tested clips."""
        folds = [fold for fold in self.folds if only is None or fold.name in only]
        rows = np.concatenate([fold.test for fold in folds])
        clips = self.prepared.clips
        return Predictions(
            [clips.utterances[row] for row in rows],
            clips.order,
            clips.targets[rows],
            np.repeat([fold.name for fold in folds], [len(fold.test) for fold in folds]),
            {name: np.concatenate([fold[name] for fold in outputs]) for name in outputs[0]},
            self.system.calibrated,
        )

    def measure(self, predictions: Predictions) -> RunRecord:
        """Return the record of the run."""
        config, clips = self.system.config, self.prepared.clips
        described, measured = self.system.describe_data(clips, self.folds), self.system.measure(predictions)
        details = described.pop("details", {}) | measured.pop("details", {})
        return RunRecord(
            id=self.id,
            model=config.id,
            system=config.system,
            features=self.system.inputs,
            protocol=config.protocol,
            labels=clips.order,
            **described,
            **measured,
            details=details,
            seconds=round(self.state.seconds([fold.name for fold in self.folds]), 2),
            size_mb=round(self.state.size / 1e6, 2) if self.state.size else None,
            cores=available_cores(),
            weights=self.system.weights,
            published=tuple(filter(None, [config.published])),
            note=config.note,
            seed=config.seed,
            config=config_entries(config),
        )

    def fold(self, name: str) -> tuple[int, Fold]:
        """Return the number of a fold and the fold itself; `InvalidSettings` names those that there are."""
        for number, fold in enumerate(self.folds):
            if fold.name == name:
                return number, fold
        names = ", ".join(fold.name for fold in self.folds)
        raise InvalidSettings(f"{self.id} has the folds {names}, and no fold {name}.")


def prepare_run(path: Path, protocol: str, settings: Settings, config: ExperimentConfig | None = None) -> Run:
    """Compute the features of an experiment; `config` replaces the one that `path` describes."""
    config = config or load_config(path, protocol)
    id = f"{config_name(path)}/{config.protocol}"
    workspace = Workspace(id, settings, path.resolve().parent.parent)
    system = system_class(config.system)(config, workspace)
    if config.save and type(system).export is System.export:
        raise InvalidSettings(f"{config.system} cannot save a model; leave save out.")
    prepared = system.prepare(system.clips())
    lasting = {name: value for name, value in config_entries(config).items() if name not in ("note", "hardware")}
    if not config.train_corpora:  # runs of most protocols are resumed as before there was such an entry
        del lasting["train_corpora"]
    initial = [str(system.weights)] if system.weights else []  # of a hub, others than those of yesterday
    fingerprint = digest(PIPELINE, str(lasting), prepared.clips.digest(), prepared.identity, *initial)
    state = RunState(settings.cache / "runs" / id / fingerprint)
    return Run(id, system, prepared, system.split(prepared.clips), state)


def _measure_external(
    run: Run, fitted: Any, corpora: Sequence[str], temperature: float, below: float
) -> dict[str, dict[str, Any]]:
    """Return figures on corpora that are not in training."""
    system, order = run.system, run.prepared.clips.order
    result = {}
    for corpus in corpora:
        clips = load_clips(system.config, system.settings.data, [corpus])
        known = [row for row, label in enumerate(clips.labels) if label in order]
        clips = replace(clips.select(known), order=order)
        prepared = system.prepare_external(clips)
        rows = np.arange(len(prepared.clips.utterances))
        outputs = system.predict(fitted, prepared, rows)
        folds = np.full(len(rows), corpus)
        predictions = Predictions(prepared.clips.utterances, order, prepared.clips.targets, folds, outputs)
        result[corpus] = measure_external(predictions, temperature, below)
    return result


def _save_model(run: Run, fitted: Any, record: RunRecord, temperature: float) -> None:
    """Save the model that was fitted on all clips, the list of its training clips, and its card."""
    system = run.system
    folder = system.settings.models_dir / record.model
    if not is_main_process():
        return
    model = system.export(fitted, run.prepared, temperature)
    model.card = system.card(record)
    model.save(folder)
    if recordings := system.training_files(run.prepared):
        trained_on.write_digests(folder, recordings)
    system.write_card(folder, record)
