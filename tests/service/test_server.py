"""The socket that the service listens on."""

import socket

from service.server import bind
from service.settings import Settings, sqlite_url


def test_no_part_of_an_answer_waits_until_the_one_before_it_was_acknowledged(tmp_path):
    settings = Settings(home=tmp_path, database_url=sqlite_url(tmp_path), port=0)
    with bind(settings) as listening, socket.create_connection(listening.getsockname()[:2]):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
