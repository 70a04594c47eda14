SELECT customers.country, count(*) AS orders, round(sum(orders.amount), 2) AS amount
FROM {{ ref('orders') }}
JOIN {{ ref('customers') }} ON customers.id = orders.customer
GROUP BY ALL
ORDER BY amount DESC
