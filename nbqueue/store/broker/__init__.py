"""Messages and the broker that carries them: Celery's app, kombu's transport, queues."""
