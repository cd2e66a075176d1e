"""Pages of the catalogue: the creator's, the approver's, the consumer's."""

from django.urls import URLPattern

app_name = "catalog"

creator_urls: list[URLPattern] = []

review_urls: list[URLPattern] = []

consumer_urls: list[URLPattern] = []

urlpatterns = creator_urls + review_urls + consumer_urls
