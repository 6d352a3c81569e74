"""One number says which version of this project made a result."""

import os
import re

import yaml

import checkout
from utils.common import provenance


def read(*path):
    with open(os.path.join(checkout.ROOT, *path), encoding="utf-8") as file:
        return file.read()


def test_what_is_written_names_the_version_that_the_changelog_and_the_citation_name():
    assert provenance.environment({})["version"] == provenance.VERSION
    newest, released = re.search(r"^## (\S+), (\S+)$", read("CHANGELOG.md"), re.MULTILINE).groups()
    citation = yaml.safe_load(read("CITATION.cff"))
    assert provenance.VERSION == newest == citation["version"]
    assert citation["date-released"] == released


def test_the_issue_form_asks_for_run_json_and_the_workflow_runs_what_ci_runs():
    form = yaml.safe_load(read(".github", "ISSUE_TEMPLATE", "result.yml"))
    asked = {part.get("id"): part for part in form["body"]}
    assert "run.json" in asked["run"]["attributes"]["label"]
    assert asked["run"]["validations"]["required"]
    workflow = yaml.safe_load(read(".github", "workflows", "test.yml"))
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]
