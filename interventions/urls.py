from django.urls import path

from interventions import views

urlpatterns = [
    path("activities/", views.ActivityList.as_view(), name="activities"),
    path("recommendations/", views.Recommendation.as_view(), name="recommendations"),
    path("recommendations/<uuid:pk>/events/", views.RecommendationEvents.as_view(), name="recommendation-events"),
    path("recommendations/<uuid:pk>/others/", views.RecommendationOthers.as_view(), name="recommendation-others"),
]
