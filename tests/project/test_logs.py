def test_a_line_names_the_address_of_the_connection(client, caplog, db):
    with caplog.at_level("INFO", "django_structlog"):
        client.get("/healthz", headers={"X-Real-IP": "203.0.113.7", "X-Forwarded-For": "203.0.113.8"})

    assert "'ip': '127.0.0.1'" in caplog.text
    assert "203.0.113" not in caplog.text
