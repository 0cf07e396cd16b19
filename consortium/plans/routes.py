"""Addresses of plans."""

from __future__ import annotations

from pydantic import Field
from sqlalchemy import select

from consortium.http.call import Call
from consortium.http.route import Access, Query, Routes
from consortium.members.service import active_nodes
from consortium.plans import service
from consortium.plans.service import PlanCheck
from consortium.plans.tables import PlanRow
from consortium.trainings.tables import Training
from protocol.ids import DigestHex, Name
from protocol.plan import Plan
from protocol.statements import WireModel

routes = Routes("plans")


class PlanSummary(WireModel):
    """A plan in a list."""

    name: Name
    digest: DigestHex
    created_at: float
    created_by: str


class PlanList(WireModel):
    """All plans."""

    plans: tuple[PlanSummary, ...]


class PlanView(WireModel):
    """A plan, and what it means for the banks that are enrolled now."""

    plan: Plan
    digest: DigestHex
    check: PlanCheck


class BanksQuery(Query):
    """`?banks=N`: for how many banks; by default those that are enrolled."""

    banks: int | None = Field(default=None, ge=2, le=4096)


def _summary(row: PlanRow) -> PlanSummary:
    return PlanSummary(name=row.name, digest=row.digest, created_at=row.created_at, created_by=row.created_by)


def _checked(call: Call, plan: Plan) -> PlanView:
    banks = call.query.banks
    with call.runtime.db.reading("plans.around") as s:
        enrolled = {row.id for row in active_nodes(s)}
        named = s.scalars(select(Training).where(Training.id.in_(plan.features.entity_tables)))
        tables = {training.id: training.plan for training in named}
    if banks is None:
        banks = len(enrolled if plan.cohort.nodes is None else enrolled & set(plan.cohort.nodes))
    check = service.check_plan(plan, banks=max(banks, plan.cohort.min_banks, 2), tables=tables)
    return PlanView(plan=plan, digest=plan.digest(), check=check)


@routes.add("GET", "/v1/plans", access=Access.VIEWER, response=PlanList)
def list_plans(call: Call) -> PlanList:
    """Lists the plans."""
    with call.runtime.db.reading("plans.list") as s:
        rows = service.list_plans(s)
    return PlanList(plans=tuple(map(_summary, rows)))


@routes.add("POST", "/v1/plans", access=Access.OPERATOR, request=Plan, query=BanksQuery, response=PlanView, status=201)
def create(call: Call) -> PlanView:
    """Creates a plan, once it is checked."""
    view = _checked(call, call.body)
    with call.runtime.act("plans.create") as (s, _, now):
        service.create_plan(s, call.body, by=call.actor, now=now)
    return view


@routes.add("POST", "/v1/plans/check", access=Access.VIEWER, request=Plan, query=BanksQuery, response=PlanView)
def check(call: Call) -> PlanView:
    """Checks a plan without keeping it: precision, cost, and who must collude to learn what."""
    return _checked(call, call.body)


@routes.add("GET", "/v1/plans/{name}", access=Access.VIEWER, query=BanksQuery, response=PlanView)
def show(call: Call) -> PlanView:
    """Shows a plan and what it means."""
    with call.runtime.db.reading("plans.show") as s:
        plan = service.find_plan(s, call.path["name"])
    return _checked(call, plan)


@routes.add("DELETE", "/v1/plans/{name}", access=Access.OPERATOR, response=PlanSummary)
def remove(call: Call) -> PlanSummary:
    """Removes a plan of which no training was ever started."""
    with call.runtime.act("plans.remove") as (s, _, _now):
        return _summary(service.remove_plan(s, call.path["name"]))
