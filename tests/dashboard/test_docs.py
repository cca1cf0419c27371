"""``/docs`` in a real browser that reaches no host but ours."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Browser, expect

from testbed.stack import Stack


def test_the_documentation_shows_every_operation_without_the_internet(browser: Browser, stack: Stack) -> None:
    origin = str(stack.client.base_url).rstrip("/")
    paths = stack.client.get("/openapi.json").json()["paths"]
    operations = sum(len(methods) for methods in paths.values())
    hosts: set[str] = set()
    told: list[str] = []
    page = browser.new_context().new_page()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(f"{origin}/docs")
    expect(page.locator(".opblock")).to_have_count(operations)
    status = page.locator("#operations-jobs-get_job_status")
    status.locator(".opblock-summary-control").click()
    expect(status).to_contain_text("the response is held until something changes")
    page.context.close()
    # pictures within the style sheet are data: and have no host
    assert hosts - {""} == {urlsplit(origin).netloc}
    assert told == []
