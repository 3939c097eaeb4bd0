import inspect

from spikeloom.planning import PlanOptions, planning

OPTIONS = ["lanes", "smallest", "target_latency", "reloadable", "spram"]


def command(model: str, *, wanted: PlanOptions, early_stop: bool = True) -> None:
    """Whatever."""
    command.found = (model, wanted, early_stop)


def test_a_command_is_given_what_its_options_say():
    values = {**dict.fromkeys(OPTIONS), "smallest": True, "reloadable": False, "lanes": "hidden=3"}
    planning(command)(model="a", early_stop=False, **values)
    assert command.found == ("a", PlanOptions(lanes="hidden=3", smallest=True), False)


def test_options_stand_where_the_parameter_stood():
    parameters = inspect.signature(planning(command)).parameters
    assert list(parameters) == ["model", *OPTIONS, "early_stop"]
    defaults = PlanOptions()
    assert all(parameters[name].default == getattr(defaults, name) for name in OPTIONS)
    assert planning(command).__doc__ == "Whatever."
