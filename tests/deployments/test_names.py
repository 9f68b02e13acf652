import pytest
from hypothesis import given
from hypothesis import strategies as st

import deployments
from deployments import DeploymentError, DeploymentName

WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)
NAMES = st.builds(
    DeploymentName,
    app=st.sampled_from(["flask", "quart"]),
    server=WORDS,
    variant=st.none() | st.lists(WORDS, min_size=1, max_size=3).map("-".join),
    proxy=st.none() | WORDS,
)

READ = {
    "flask-werkzeug": ("flask", "werkzeug", None, None),
    "flask-mod_wsgi": ("flask", "mod_wsgi", None, None),
    "quart-hypercorn-uvloop": ("quart", "hypercorn", "uvloop", None),
    "flask-waitress@nginx": ("flask", "waitress", None, "nginx"),
    "flask-gunicorn-gthread-unix@nginx": ("flask", "gunicorn", "gthread-unix", "nginx"),
}
NO_NAMES = [
    "",
    "flask",
    "flask-",
    "-werkzeug",
    "django-gunicorn",
    "Flask-werkzeug",
    "flask-werkzeug-",
    "flask-gunicorn--sync",
    "flask-waitress@",
    "flask-waitress@nginx@caddy",
    "flask-waitress@nginx-tcp",
    "flask-werkzeug\n",
    "flask-wérkzeug",
    "flask-werkzeug; rm",
]
REQUIRED = [
    "flask-werkzeug",
    "flask-threaded",
    "flask-threaded-pyopenssl",
    "flask-cheroot",
    "flask-cheroot-pyopenssl",
    "flask-uwsgi",
    "flask-mod_wsgi",
    "flask-gunicorn-sync",
    "flask-gunicorn-gthread",
    "flask-gunicorn-gthread-asis",
    "flask-gunicorn-gevent",
    "quart-gunicorn-asgi",
    "flask-granian",
    "quart-granian",
    "quart-hypercorn-asyncio",
    "quart-hypercorn-uvloop",
    "quart-hypercorn-h3",
    "quart-hypercorn-own",
    "quart-uvicorn",
    "quart-uvicorn-uvloop",
    "flask-waitress@nginx",
    "flask-gunicorn-gthread@nginx",
    "flask-gunicorn-gthread-unix@nginx",
    "flask-pyuwsgi@nginx",
    "quart-uvicorn-uvloop@nginx",
    "quart-hypercorn-asyncio@nginx",
    "flask-waitress@apache",
    "quart-uvicorn-uvloop@apache",
    "flask-waitress@haproxy",
    "quart-uvicorn-uvloop@haproxy",
    "flask-waitress@caddy",
    "quart-uvicorn-uvloop@caddy",
    "quart-hypercorn-asyncio-tls@haproxy",
]


class TestDeploymentName:
    """APP-SERVER[-VARIANT][@PROXY], read and printed in one place."""

    @given(NAMES)
    def test_what_is_printed_is_read_again(self, name: DeploymentName) -> None:
        assert DeploymentName.parse(str(name)) == name

    @pytest.mark.parametrize(("text", "parts"), READ.items())
    def test_parts(self, text: str, parts: tuple[str, str, str | None, str | None]) -> None:
        name = DeploymentName.parse(text)
        assert (name.app, name.server, name.variant, name.proxy) == parts
        assert str(name) == text

    @pytest.mark.parametrize("text", NO_NAMES)
    def test_anything_else_is_refused_in_one_line(self, text: str) -> None:
        with pytest.raises(DeploymentError, match=r"^[^\n]*`bench list` shows all$"):
            DeploymentName.parse(text)


class TestRegistry:
    """Every deployment is found by its name; a name that is nearly right finds the right one offered."""

    def test_all_that_were_promised(self) -> None:
        assert list(deployments.names()) == REQUIRED

    @pytest.mark.parametrize("name", REQUIRED)
    def test_a_name_finds_its_deployment(self, name: str) -> None:
        assert deployments.find(name).name == DeploymentName.parse(name)
        assert deployments.find(DeploymentName.parse(name)) is deployments.find(name)

    @pytest.mark.parametrize(
        ("wrong", "nearest"),
        [
            ("flask-gunicorn-gthreads", "flask-gunicorn-gthread"),
            ("quart-hypercorn-asynco", "quart-hypercorn-asyncio"),
            ("flask_werkzeug", "flask-werkzeug"),
        ],
    )
    def test_a_near_miss_is_told_the_nearest(self, wrong: str, nearest: str) -> None:
        with pytest.raises(DeploymentError) as caught:
            deployments.find(wrong)
        assert str(caught.value) == (
            f"no deployment is called {wrong!r}; did you mean {nearest}? `bench list` shows all"
        )

    def test_nothing_near_is_not_guessed(self) -> None:
        with pytest.raises(DeploymentError, match=r"called 'zzz'; `bench list` shows all$"):
            deployments.find("zzz")

    def test_rows_are_plain_data_with_versions(self) -> None:
        rows = {row["name"]: row for row in (item.row() for item in deployments.describe())}
        assert list(rows) == REQUIRED
        gthread = rows["flask-gunicorn-gthread"]
        assert gthread["threads"] == 16
        assert gthread["missing"] == []
        assert isinstance(gthread["versions"], dict)
        assert set(gthread["versions"]) == {"gunicorn", "flask"}
