"""Pages of finance (/finance/), creators' earnings and cost centers' bills (/bills/)."""

from django.urls import path

from billing import views

app_name = "billing"

urlpatterns = [
    path("finance/estimate/", views.estimate, name="estimate"),
]
