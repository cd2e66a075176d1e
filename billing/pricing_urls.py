"""Pages of prices: the calculator, coupons, negotiated prices."""

from django.urls import path

from billing.views import calculator, coupons, negotiated

urlpatterns = [
    path("calculator/", calculator.calculator_page, name="calculator"),
    path("finance/coupons/", coupons.listed, name="coupons"),
    path("finance/coupons/new/", coupons.new, name="coupon-new"),
    path("finance/coupons/redemptions/<uuid:redemption_id>/end/", coupons.take_off, name="coupon-take-off"),
    path("finance/coupons/<slug:code>/", coupons.coupon, name="coupon"),
    path("finance/prices/", negotiated.listed, name="negotiated-prices"),
    path("finance/prices/<uuid:price_id>/", negotiated.negotiated_price, name="negotiated-price"),
    path("finance/prices/for/<uuid:subscription_id>/", negotiated.new, name="negotiated-price-new"),
    path("bills/prices/<uuid:subscription_id>/own/", coupons.own_prices, name="own-prices"),
]
