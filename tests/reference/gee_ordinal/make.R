# Population-averaged cumulative models: with independence they are those of ordinal::clm, with
# the covariances of geesmv (Liang-Zeger, Kauermann-Carroll, Mancl-DeRouen, Fay-Graubard, Morel-Bokossa-Neerchal)
# by dense matrices of the indicators of each cluster at clm's estimates. Run in this folder:  Rscript make.R
suppressPackageStartupMessages({
  library(ordinal)
  library(jsonlite)
})

read_set <- function(package, dataset) {
  path <- tempfile(fileext = ".csv")
  python <- Sys.getenv("PYTHON", "../../../.venv/bin/python")
  stopifnot(system2(python, c("../make_data.py", package, dataset, path)) == 0)
  read.csv(path, na.strings = "NA")
}

power_of <- function(A, power) { # of a matrix with real eigenvalues that need not be symmetric
  e <- eigen(A)
  Re(e$vectors %*% diag(e$values^power, nrow(A)) %*% solve(e$vectors))
}

# Standard errors of thresholds tau and coefficients beta of P(y > c) = F(x'beta - tau_c).
small_sample <- function(y, X, tau, beta, id, link) {
  family <- binomial(link)
  K <- length(tau)
  n <- length(y)
  p <- K + length(beta)
  parts <- lapply(split(seq_len(n), id), function(rows) {
    each <- lapply(rows, function(i) {
      eta <- sum(X[i, ] * beta) - tau
      mu <- family$linkinv(eta)
      list(
        D = family$mu.eta(eta) * cbind(-diag(K), matrix(X[i, ], K, ncol(X), byrow = TRUE)),
        W = solve(outer(mu, mu, pmin) - outer(mu, mu)), e = (y[i] > seq_len(K)) - mu
      )
    })
    m <- length(rows)
    W <- matrix(0, m * K, m * K)
    for (i in seq_len(m)) W[(i - 1) * K + 1:K, (i - 1) * K + 1:K] <- each[[i]]$W
    D <- do.call(rbind, lapply(each, `[[`, "D"))
    list(D = D, W = W, e = unlist(lapply(each, `[[`, "e")), DWD = t(D) %*% W %*% D)
  })
  M <- solve(Reduce(`+`, lapply(parts, `[[`, "DWD")))
  J <- length(parts)
  meat <- function(score) Reduce(`+`, lapply(parts, function(q) tcrossprod(score(q))))
  H <- function(q) q$D %*% M %*% t(q$D) %*% q$W
  lz <- meat(function(q) t(q$D) %*% q$W %*% q$e)
  kc <- meat(function(q) t(q$D) %*% q$W %*% power_of(diag(length(q$e)) - H(q), -0.5) %*% q$e)
  md <- meat(function(q) t(q$D) %*% q$W %*% solve(diag(length(q$e)) - H(q)) %*% q$e)
  fg <- meat(function(q) {
    diag(1 / sqrt(1 - pmin(0.75, diag(q$DWD %*% M))), p) %*% t(q$D) %*% q$W %*% q$e
  })
  middle <- (n - 1) / (n - p) * J / (J - 1) * lz
  share <- min(0.5, p / (J - p))
  size <- max(1, sum(diag(M %*% middle)) / p)
  se <- function(V) unname(sqrt(diag(V)))
  list(
    LZ = se(M %*% lz %*% M), KC = se(M %*% kc %*% M), MD = se(M %*% md %*% M), FG = se(M %*% fg %*% M),
    MBN = se(M %*% middle %*% M + share * size * M), model = se(M)
  )
}

by_clm <- function(frame, fixed, cluster, link, drop = 1) {
  fit <- clm(as.formula(fixed), data = frame, link = link, control = clm.control(gradTol = 1e-12, maxIter = 200))
  X <- model.matrix(delete.response(terms(as.formula(fixed))), frame)[, -drop, drop = FALSE]
  y <- as.integer(fit$y)
  list(
    link = link, term = names(coef(fit)), estimate = unname(coef(fit)), log_likelihood = as.numeric(logLik(fit)),
    small_sample = small_sample(y, X, unname(fit$alpha), unname(fit$beta), frame[[cluster]], link)
  )
}

wine <- read_set("ordinal", "wine")
wine <- wine[order(wine$judge), ]
wine$rating <- ordered(wine$rating)
respdis <- read_set("geepack", "respdis")
respdis <- reshape(respdis, direction = "long", varying = paste0("y", 1:4), v.names = "resp", idvar = "id", timevar = "visit")
respdis <- respdis[order(respdis$id, respdis$visit), ]
respdis$resp <- ordered(respdis$resp)

write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = list(ordinal = as.character(packageVersion("ordinal"))),
    wine = list(by_clm(wine, "rating ~ temp + contact", "judge", "logit"),
      by_clm(wine, "rating ~ temp + contact", "judge", "probit")),
    respdis = list(by_clm(respdis, "resp ~ trt + visit", "id", "logit"),
      by_clm(respdis, "resp ~ trt + visit", "id", "probit"))
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null"
)
writeLines(capture.output(sessionInfo()), "session.txt")
