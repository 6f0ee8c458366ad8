import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from blood_cell_system.review.guard import COOKIE, MAX_BODY, Guard, policy_of_page

TOKEN = "a-long-word-of-ones-own"


def client_of(*, host="127.0.0.1", token=None, base="http://127.0.0.1:8765", **options):
    guard = Guard(PlainTextResponse("fine"), host=host, port=8765, token=token, **options)
    return TestClient(guard, base_url=base)


@pytest.mark.parametrize(
    "name", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"]
)
def test_this_computer_may_ask(name):
    assert client_of().get("/", headers={"host": name}).text == "fine"


@pytest.mark.parametrize(
    "name", ["evil.example:8765", "127.0.0.1:80", "127.0.0.1", "127.0.0.1.evil.example:8765", ""]
)
def test_another_name_of_the_host_is_refused(name):
    answer = client_of().get("/", headers={"host": name})
    assert answer.status_code == 403
    assert "only under its own name" in answer.text


def test_a_request_of_another_page_is_refused():
    answer = client_of().post("/", headers={"origin": "http://evil.example"}, content=b"")
    assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{}, {"origin": "http://127.0.0.1:8765"}])
def test_requests_of_its_own_page_and_of_programs_pass(headers):
    assert client_of().post("/", headers=headers, content=b"").status_code == 200


def test_a_request_that_is_too_large_is_refused():
    answer = client_of(limits={"/analyze": 3}).post("/analyze", content=b"1234")
    assert answer.status_code == 413
    assert "at most 3 are taken" in answer.text
    headers = {"content-length": str(MAX_BODY + 1)}
    assert client_of().post("/", headers=headers, content=b"").status_code == 413


def test_a_request_without_a_length_is_refused():
    answer = client_of().post("/", content=iter([b"12", b"34"]))
    assert answer.status_code == 411


def test_every_answer_forbids_scripts_frames_and_guessing():
    for path, headers in (("/", {}), ("/", {"host": "evil.example"})):
        answer = client_of().get(path, headers=headers)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers


def test_without_the_token_nothing_is_given():
    client = client_of(token=TOKEN)
    assert client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/", headers={"cookie": f"{COOKIE}=wrong"}).status_code == 401
    assert client.get("/", headers={"cookie": "\x01;;="}).status_code == 401
    assert client.post(f"/?token={TOKEN}", content=b"").status_code == 401


def test_the_address_with_the_token_gives_a_cookie_and_loses_the_token():
    answer = client_of(token=TOKEN).get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]


def test_cookie_and_header_with_the_token_pass():
    client = client_of(token=TOKEN)
    assert client.get("/", headers={"cookie": f"{COOKIE}={TOKEN}"}).text == "fine"
    assert client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).text == "fine"


def test_a_server_on_all_addresses_answers_under_every_name():
    client = client_of(host="0.0.0.0", token=TOKEN)
    headers = {"host": "lab-pc:9000", "authorization": f"Bearer {TOKEN}"}
    assert client.get("/", headers=headers).text == "fine"


def test_a_page_keeps_its_own_policy_and_cannot_be_framed():
    html = (
        b'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:">'
    )
    assert policy_of_page(html) == "default-src 'none'; img-src data:; frame-ancestors 'none'"


def test_a_page_without_a_policy_may_do_nothing():
    assert "sandbox" in policy_of_page(b"<script>alert(1)</script>")
