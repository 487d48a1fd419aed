"""Initial plans: on the budget, and no worse than uniform."""

from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.agents.initial_plans import baseline_plans
from tests.landscape import landscape
from tests.synthetic import structures


@settings(max_examples=40)
@given(structures, st.integers(0, 9), st.sampled_from(["0.6flops", "0.8params,0.9flops"]))
def test_least_error_is_maximal_and_no_worse_than_uniform(structure, seed, budget):
    try:
        problem = landscape(structure, seed, budget)
    except Exception as error:
        assert type(error).__name__ == "InfeasibleError"
        return
    uniform, guided = baseline_plans(problem)
    assert problem.budget.met(guided)
    assert problem.budget.top_up(guided) == guided
    errors = problem.ranking.errors
    uniform_error, error = (
        sum(errors[name][count] for name, count in plan.items()) for plan in (uniform, guided)
    )
    assert error <= uniform_error + 1e-9
