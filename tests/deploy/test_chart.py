"""The Helm chart: linted, filled in with several sets of values, and each result checked against the schemas of Kubernetes."""

import importlib.util
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import DEPLOY, IMAGE_USER, run, tool

from onward.server.config_reader import foreign_variables, read

pytestmark = pytest.mark.slow
CHART = DEPLOY / "helm" / "onward"
KUBERNETES = "1.34"
MONITORING = "monitoring.coreos.com/v1"  # not a part of Kubernetes: it has no schema there
FULL = """
state: {existingSecret: redis}
blobs: {url: "s3://bucket/uploads", endpoint: "http://s3.example", region: eu-central-1, existingSecret: s3}
options: {max-size: 50G, workers: 2, auth: key, page: false}
secrets: {ONWARD_WEBHOOK_SECRET: {name: webhook, key: secret}}
authKeySecret: key
ingress: {enabled: true, tlsSecret: tls}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
nodeSelector: {a: b}
tolerations: [{operator: Exists}]
affinity: {nodeAffinity: {}}
imagePullSecrets: [{name: registry}]
"""
VALUES = {
    "default": "",
    "full": FULL,
    "one": "{replicas: 1, state: {url: 'sqlite:'}, persistence: {accessMode: ReadWriteOnce, storageClass: fast}}",
    "claimed": "{persistence: {existingClaim: mine}, serviceAccount: {create: false}, podDisruptionBudget: {enabled: false}}",
}


def filled_in(values: str, folder: Path, name: str = "uploads") -> list[dict[str, Any]]:
    """Give the resources that the chart makes of some values."""
    (folder / "values.yaml").write_text(values)
    words: list[str | Path] = [tool("helm"), "template", name, CHART]
    words += ["--values", folder / "values.yaml", "--kube-version", KUBERNETES]
    return [each for each in yaml.safe_load_all(run(words)) if each]


def one(resources: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Give the only resource of a kind."""
    (found,) = [each for each in resources if each["kind"] == kind]
    return found


def container(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the only container of the pods."""
    (found,) = one(resources, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_helm_finds_nothing_to_complain_about() -> None:
    assert "[WARNING]" not in run([tool("helm"), "lint", "--strict", CHART, "--kube-version", KUBERNETES])
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == version("onward")


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_what_the_chart_makes_is_valid_for_kubernetes(values: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("SKIPPED LOUDLY: kubernetes-validate is not installed: pip install kubernetes-validate")
    import kubernetes_validate

    resources = filled_in(values, tmp_path)
    for each in resources:
        if each["apiVersion"] != MONITORING:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
    wrong = one(resources, "Deployment")
    wrong["spec"]["replicas"] = "two"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_variables_of_the_pods_are_options_with_good_values(values: str, tmp_path: Path) -> None:
    example = {"ONWARD_STATE": "redis://redis:6379/0", "ONWARD_WEBHOOK_SECRET": "whsec_" + "A" * 32}
    env = {
        each["name"]: each.get("value", example.get(each["name"], "x"))
        for each in container(filled_in(values, tmp_path))["env"]
    }
    assert foreign_variables((), env) == []
    config = read({}, env).config
    if "50G" in values:
        assert (config.max_size, config.workers, config.page) == (50 * 2**30, 2, False)


def test_pods_have_no_rights_that_they_do_not_need(tmp_path: Path) -> None:
    resources = filled_in("", tmp_path)
    pod = one(resources, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == IMAGE_USER
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    rights = container(resources)["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]


def test_a_stop_has_the_time_that_it_may_take(tmp_path: Path) -> None:
    resources = filled_in("", tmp_path)
    pod = one(resources, "Deployment")["spec"]["template"]["spec"]
    sleep = container(resources)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= sleep + read({}, {}).config.drain + 2


def test_services_budgets_and_monitors_select_the_pods(tmp_path: Path) -> None:
    resources = filled_in(FULL, tmp_path)
    deployment = one(resources, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        one(resources, "Service")["spec"]["selector"],
        one(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    monitor, service = one(resources, "ServiceMonitor"), one(resources, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    paths = one(resources, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    shown = re.findall(r"^    location (= )?(/\S*)", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
    public = [("Exact" if exact else "Prefix", path.rstrip("/") or "/") for exact, path in shown]
    assert [(each["pathType"], each["path"]) for each in paths] == public
    assert {each["backend"]["service"]["name"] for each in paths} == {service["metadata"]["name"]}


def test_sqlite_is_refused_for_several_servers_and_is_replaced_before_it_starts_again(tmp_path: Path) -> None:
    words = [tool("helm"), "template", "x", CHART, "--set", "state.url=sqlite:", "--kube-version", KUBERNETES]
    refused = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert "several replicas need a state that they share" in refused.stderr
    assert one(filled_in(VALUES["one"], tmp_path), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert one(filled_in("", tmp_path), "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
