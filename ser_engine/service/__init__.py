"""The HTTP service: `ser serve`, and a client for it. Needs the extra `service`; nothing else imports it."""
