"""A service that tells what it knows, and what can be read of a job, an error or a journal where it does."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sqlite3
import traceback
from typing import Any

from csm_refine_addon.blender.jobs import job_text
from csm_refine_addon.commands import outcome, progress_bar
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.models import Job
from csm_refine_addon.core.providers.client import Client
from tests.reliability.faults_trial import Trial
from tests.reliability.secrets_search import SECRETS, Places
from tests.support.api_server import KEY, Answer, Api, refusal
from tests.support.faults.exchange import Answer as ProxyAnswer, Exchange

MAIL = SECRETS["e-mail"]
READ_LIMIT = 1_000_000
"""Answers of more bytes are left as they are: those of a fault."""


def tell(answer: ProxyAnswer, signed: str) -> None:
    """Have an answer repeat everything that its service knows."""
    words = f"{KEY} {signed} {MAIL} sig=s1gnature9"
    answer.headers["x-echo"] = words
    if len(answer.body) > READ_LIMIT or not (answer.status >= 400 or answer.body.startswith(b"{")):
        return
    document = answer.document
    if isinstance(document, dict):
        data = document.get("data")
        document |= {"message": words, "customer_email": MAIL}
        if isinstance(data, dict):
            data |= {"error_message": words, "unique_trial_key": "trial", "customer_email": MAIL}
        answer.body = json.dumps(document).encode()
    elif answer.status >= 400:
        answer.body += words.encode()


def make_telling(trial: Trial) -> None:
    proxy, usual = trial.proxy, trial.proxy._answer

    async def told(name: str, exchange: Exchange) -> None:
        await usual(name, exchange)
        if exchange.answer is not None:
            tell(exchange.answer, trial.api.storage.signed("x"))

    proxy._answer = told


@contextlib.contextmanager
def logged(places: Places):
    """Look into everything that is logged, with the tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        places.look("log records", stream.getvalue())


def texts_of(job: Job) -> dict[str, str]:
    """What is shown, said or copied of a job."""
    return {
        "what the panel shows of a job": "\n".join((job_text.status(job), job.trouble, job_text.last_answer(job, 0))),
        "texts that are copied to the clipboard": job_text.error_text(job),
        "JSON of the command line": json.dumps(outcome.document(job)),
        "progress on a terminal": progress_bar.describe(job),
        "reprs of jobs": f"{job!r} {job}",
    }


def texts_of_error(error: BaseException) -> str:
    """An exception as anything may print it, with those behind it."""
    chain = [error]
    while behind := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(behind)
    texts = [f"{each!r} {each} {each.args!r} {vars(each)!r}" for each in chain]
    return "\n".join([*texts, *traceback.format_exception(error)])


def rollback_file(home: DataDir) -> bytes:
    """Return what SQLite's rollback file holds when every job is written anew."""
    with contextlib.closing(sqlite3.connect(home.journal, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE jobs SET document = document || ' '")
        content = home.journal.with_name(f"{home.journal.name}-journal").read_bytes()
        connection.execute("ROLLBACK")
        return content


class Listening:
    """A client, and everything that comes out of it: what it returns, and what it raises."""

    def __init__(self, client: Client, places: Places) -> None:
        self._client = client
        self._places = places

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                returned = found(*arguments, **options)
            except BaseException as error:
                self._places.look("exceptions", texts_of_error(error), name)
                raise
            self._places.look("what is read of answers", repr(returned), name)
            return returned

        return call


def telling_api(api: Api) -> None:
    """Have a scripted service repeat what it knows, in its good answers and its bad ones."""
    words = f"{KEY} {api.storage.signed('x')} {MAIL}"
    api.posts = [refusal(402, words, headers={"X-Echo": words})]
    for answers in (api.before, api.after):
        answers[:] = [Answer(body=_telling(answer.body, words)) for answer in answers]


def _telling(body: Any, words: str) -> Any:
    def told(api: Api) -> dict[str, Any]:
        document = body(api)
        return {**document, "message": words, "data": {**document["data"], "error_message": words, "email": MAIL}}

    return told
