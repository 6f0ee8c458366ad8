import pickle

import pytest
from support.bucket_server import KEY, SECRET, bucket_server

from blood_cell_system.cluster.storage import Storage, shown_address
from blood_cell_system.errors import ImageReadError, MissingDataError, OutputError, SettingsError

pytest.importorskip("pyarrow", reason="of the extra [cluster]")


@pytest.fixture(scope="module")
def server():
    with bucket_server() as bucket:
        yield bucket


@pytest.fixture
def bucket(server):
    server.objects.clear()
    server.requests.clear()
    server.failures, server.delay_s = 0, 0.0
    return server


@pytest.fixture(params=["folder", "bucket", "memory"])
def storage(request, tmp_path):
    if request.param == "folder":
        return Storage(str(tmp_path / "out"))
    if request.param == "memory":
        pytest.importorskip("fsspec")
        return Storage(f"memory://{tmp_path.name}/out")
    return Storage(request.getfixturevalue("bucket").place("images/out"))


def test_what_was_written_is_read_and_listed(storage):
    storage.write("b/two.txt", b"two")
    storage.write("b/two.txt", b"2")
    storage.write("a.txt", b"one")
    assert (storage.read("b/two.txt"), storage.read("a.txt")) == (b"2", b"one")
    assert list(storage.files()) == ["a.txt", "b/two.txt"]
    assert list(storage.files("b")) == ["b/two.txt"]
    assert list(storage.files(is_deep=False)) == ["a.txt"]
    assert list(storage.files("nothing")) == []


def test_what_was_removed_is_gone(storage):
    storage.write("a.txt", b"one")
    storage.remove("a.txt")
    storage.remove("a.txt")
    with pytest.raises(MissingDataError, match=r"a\.txt: there is no such file"):
        storage.read("a.txt")


def test_a_place_can_be_sent_to_a_worker(storage):
    storage.write("a.txt", b"one")
    assert pickle.loads(pickle.dumps(storage)).read("a.txt") == b"one"


def test_a_place_that_is_not_there_cannot_be_listed(tmp_path, bucket):
    for place in (str(tmp_path / "no"), bucket.place("images/no")):
        with pytest.raises(MissingDataError, match="no"):
            list(Storage(place).files())


def test_a_small_file_is_one_request(bucket):
    Storage(bucket.place("images/out")).write("a.txt", b"one")
    assert bucket.requests == ["PUT"]


def test_a_bucket_that_fails_a_few_times_is_asked_again(bucket):
    storage = Storage(bucket.place("images/out"))
    storage.write("a.txt", b"one")
    bucket.failures = 2
    assert storage.read("a.txt") == b"one"


def test_a_bucket_that_goes_on_failing_is_an_error(bucket):
    storage = Storage(bucket.place("images/out"))
    bucket.failures = 1000
    with pytest.raises(ImageReadError, match=r"out/a.txt: cannot be read .*Check the address"):
        storage.read("a.txt")


def test_a_slow_bucket_is_waited_for(bucket):
    storage = Storage(bucket.place("images/out"))
    bucket.delay_s = 0.3
    storage.write("a.txt", b"one")
    assert storage.read("a.txt") == b"one"


def test_credentials_that_may_not_are_an_error_without_them(bucket):
    place = bucket.place("images/out").replace("key-of-the-test", "another-key")
    with pytest.raises(OutputError) as caught:
        Storage(place).write("a.txt", b"one")
    message = str(caught.value)
    assert "no credentials, or none that may" in message
    assert "AWS_ACCESS_KEY_ID" in message
    assert SECRET not in message
    assert "another-key" not in message


def test_neither_name_nor_words_of_a_place_show_a_secret(bucket):
    storage = Storage(bucket.place("images/out"))
    assert SECRET not in repr(storage) + storage.shown
    assert shown_address("s3://a:b@images/out?x=1") == "s3://images/out"
    assert shown_address("/data?/a@b") == "/data?/a@b"


def test_an_address_that_nothing_opens_is_refused():
    with pytest.raises(SettingsError, match=r"^nowhere://images: nothing here opens"):
        Storage("nowhere://user:word@images").write("a", b"")


def test_a_file_is_copied_and_its_size_known(storage, tmp_path):
    storage.write("b/two.txt", b"two")
    storage.copy_to("b/two.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"two"
    assert storage.size_and_time("b/two.txt")[0] == 3


def test_a_file_that_is_not_there_has_no_size_and_no_copy(storage, tmp_path):
    storage.write("a.txt", b"one")
    for asked in (storage.size_and_time, lambda name: storage.copy_to(name, tmp_path / "copy")):
        with pytest.raises(MissingDataError, match=r"b\.txt: there is no such file"):
            asked("b.txt")


def test_a_bucket_that_refuses_gives_no_size_and_no_copy(bucket, tmp_path):
    storage = Storage(bucket.place("images/out").replace(KEY, "another"))
    for asked in (storage.size_and_time, lambda name: storage.copy_to(name, tmp_path / "copy")):
        with pytest.raises(ImageReadError, match=r"a\.txt: cannot be read: no credentials"):
            asked("a.txt")
