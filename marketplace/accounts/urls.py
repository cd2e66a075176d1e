"""Pages about people. Signing in and what belongs to it is allauth's, below /accounts/."""

from django.urls import path

from marketplace.accounts import views
from marketplace.accounts.noticing import views as notice_views

app_name = "accounts"

urlpatterns = [
    path("enter/<slug:role>/", views.enter, name="enter"),
    path("me/keys/", views.personal_keys, name="keys"),
    path("me/keys/<uuid:key_id>/revoke/", views.revoke_key, name="key-revoke"),
    path("notices/", notice_views.notices_page, name="notices"),
    path("notices/read/", notice_views.read_notices, name="notices-read"),
    path("notices/mark/", notice_views.mark_notices, name="notices-mark"),
    path("notices/<uuid:notice_id>/open/", notice_views.open_notice, name="notice-open"),
    path("notices/choices/", notice_views.mail_choices_page, name="mail-choices"),
    path("notices/mails/", notice_views.kept_mails, name="kept-mails"),
    path("notices/mails/<uuid:mail_id>/", notice_views.kept_mail, name="kept-mail"),
    path("notices/mails/<uuid:mail_id>/html/", notice_views.kept_mail_html, name="kept-mail-html"),
    path("mails/stop/<str:token>/", notice_views.unsubscribe, name="unsubscribe"),
    path("teams/", views.teams, name="teams"),
]
