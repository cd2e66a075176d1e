"""Pages about people. Signing in and what belongs to it is allauth's, below /accounts/."""

from django.urls import path

from marketplace.accounts import views

app_name = "accounts"

urlpatterns = [
    path("enter/<slug:role>/", views.enter, name="enter"),
    path("me/keys/", views.personal_keys, name="keys"),
    path("me/keys/<uuid:key_id>/revoke/", views.revoke_key, name="key-revoke"),
    path("notices/", views.notices_page, name="notices"),
    path("notices/read/", views.read_notices, name="notices-read"),
    path("teams/", views.teams, name="teams"),
]
