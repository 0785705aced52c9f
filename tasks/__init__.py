"""The six stages as Prefect tasks: a decorator, a call and a return each."""
