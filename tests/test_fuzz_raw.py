"""Malformed HTTP through Envoy, a little: the short form of `scripts/fuzz raw`."""

from tests.fuzz.raw import answers, send


async def test_malformed_requests_are_no_fault_of_ours(service, org):
    port = int(service.http_url.rpartition(":")[2])

    report = await send(port, org.api, 300)

    assert report.wrong == []
    assert report.statuses[400] > 50
    assert report.statuses[200] > 0
    assert await answers(port, org.api)
